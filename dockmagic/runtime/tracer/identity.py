"""Who a process is, as the container sees it: ids that are tracked, since the kernel would not change the real ones.

Pure. The rules are those of credentials(7) and of kernel/sys.c, with one simplification: having effective uid 0 stands
for CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_FOWNER and CAP_DAC_OVERRIDE.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from dockmagic.runtime.tracer.kernel import fail

KEEP = 0xFFFFFFFF
"""-1 in the arguments of setres*id and chown: leave as it is."""


class Ids(NamedTuple):
    """Real, effective, saved and file system id."""

    real: int
    effective: int
    saved: int
    fs: int


class Credentials(NamedTuple):
    """One process's identity; a change makes a new one."""

    users: Ids
    groups: Ids
    supplementary: tuple[int, ...] = ()
    keeps: bool = False
    """PR_SET_KEEPCAPS: becoming an ordinary user will not take root's powers away."""
    kept: bool = False
    """It became an ordinary user and kept them (setpriv does, for the moment until it has set its groups)."""

    @classmethod
    def of(cls, uid: int, gid: int, supplementary: tuple[int, ...] = ()) -> Credentials:
        return cls(Ids(uid, uid, uid, uid), Ids(gid, gid, gid, gid), supplementary)

    @property
    def privileged(self) -> bool:
        return self.users.effective == 0 or self.kept

    def with_users(self, users: Ids) -> Credentials:
        """After a change of user ids."""
        return self._replace(users=users, kept=self.privileged and self.keeps and users.effective != 0)

    @property
    def plain_root(self) -> bool:
        """Nothing that the files it makes or reads would need to know."""
        return self.users.fs == 0 and self.groups.fs == 0

    def in_group(self, gid: int) -> bool:
        return gid == self.groups.fs or gid in self.supplementary


def set_one(ids: Ids, value: int, privileged: bool) -> Ids:
    """setuid and setgid. Raises OSError(EPERM, EINVAL)."""
    if value == KEEP:
        raise fail(errno.EINVAL)
    if privileged:
        return Ids(value, value, value, value)
    if value in (ids.real, ids.saved):
        return ids._replace(effective=value, fs=value)
    raise fail(errno.EPERM)


def set_pair(ids: Ids, real: int, effective: int, privileged: bool) -> Ids:
    """setreuid and setregid. Raises OSError(EPERM)."""
    allowed = (ids.real, ids.effective, ids.saved)
    if not privileged and (
        (real != KEEP and real not in allowed[:2]) or (effective != KEEP and effective not in allowed)
    ):
        raise fail(errno.EPERM)
    new_real = ids.real if real == KEEP else real
    new_effective = ids.effective if effective == KEEP else effective
    follows = real != KEEP or effective not in (KEEP, ids.real)
    return Ids(new_real, new_effective, new_effective if follows else ids.saved, new_effective)


def set_three(ids: Ids, real: int, effective: int, saved: int, privileged: bool) -> Ids:
    """setresuid and setresgid. Raises OSError(EPERM)."""
    allowed = (ids.real, ids.effective, ids.saved, KEEP)
    if not privileged and any(value not in allowed for value in (real, effective, saved)):
        raise fail(errno.EPERM)
    new_effective = ids.effective if effective == KEEP else effective
    return Ids(ids.real if real == KEEP else real, new_effective, ids.saved if saved == KEEP else saved, new_effective)


def set_fs(ids: Ids, value: int, privileged: bool) -> Ids:
    """setfsuid and setfsgid, which never fail: the ids stay when it isn't allowed."""
    if privileged or value in ids[:3]:
        return ids._replace(fs=value)
    return ids


def may(credentials: Credentials, owner: int, group: int, mode: int, want: int) -> bool:
    """Whether the permission bits let a process do ``want`` (4 read, 2 write, 1 search or execute)."""
    if credentials.users.fs == 0:
        return True
    if credentials.users.fs == owner:
        return mode >> 6 & want == want
    if credentials.in_group(group):
        return mode >> 3 & want == want
    return mode & want == want
