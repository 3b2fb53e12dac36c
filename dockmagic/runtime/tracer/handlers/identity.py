"""The ids a process has and changes: tracked, since the kernel would refuse."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

from dockmagic.runtime.tracer.guest import Guest, Handler
from dockmagic.runtime.tracer.identity import KEEP, Credentials, Ids, set_fs, set_one, set_pair, set_three
from dockmagic.runtime.tracer.task import Task

_MAX_GROUPS = 65536  # NGROUPS_MAX, linux/limits.h
# linux/capability.h: the sets of docker's default container (moby's oci/caps/defaults.go) as bits
_CAPABILITIES = sum(1 << n for n in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
_ID_CAPABILITIES = 1 << 6 | 1 << 7  # CAP_SETGID, CAP_SETUID
_VERSION_3 = 0x20080522
_VERSIONS = (0x19980330, 0x20071026, _VERSION_3)


class Identity:
    """The handlers; a table of them is :meth:`table`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._words = guest.words

    def table(self) -> dict[str, Handler]:
        return {
            "getuid": lambda task: task.credentials.users.real,
            "geteuid": lambda task: task.credentials.users.effective,
            "getgid": lambda task: task.credentials.groups.real,
            "getegid": lambda task: task.credentials.groups.effective,
            "getresuid": self._get_three("users"),
            "getresgid": self._get_three("groups"),
            "setuid": self._change("users", 1, lambda ids, a, privileged: set_one(ids, a[0], privileged)),
            "setgid": self._change("groups", 1, lambda ids, a, privileged: set_one(ids, a[0], privileged)),
            "setreuid": self._change("users", 2, lambda ids, a, privileged: set_pair(ids, a[0], a[1], privileged)),
            "setregid": self._change("groups", 2, lambda ids, a, privileged: set_pair(ids, a[0], a[1], privileged)),
            "setresuid": self._change(
                "users", 3, lambda ids, a, privileged: set_three(ids, a[0], a[1], a[2], privileged)
            ),
            "setresgid": self._change(
                "groups", 3, lambda ids, a, privileged: set_three(ids, a[0], a[1], a[2], privileged)
            ),
            "setfsuid": self._set_fs("users"),
            "setfsgid": self._set_fs("groups"),
            "getgroups": self._getgroups(),
            "setgroups": self._setgroups(),
            "capget": self._capget(),
            "capset": self._capset,
            "prctl": self._prctl,
        }

    def _get_three(self, kind: str) -> Handler:
        words, args = self._words, self._guest.args

        def handler(task: Task) -> int | None:
            ids: Ids = getattr(task.credentials, kind)
            for register, value in zip(args[:3], ids[:3], strict=True):
                task.space.write(task.pid, words[register], struct.pack("=I", value))
            return 0

        return handler

    def _change(self, kind: str, count: int, rule: Callable[[Ids, list[int], bool], Ids]) -> Handler:
        words, args = self._words, self._guest.args

        def handler(task: Task) -> int | None:
            credentials = task.credentials
            values = [words[register] & KEEP for register in args[:count]]
            new = rule(getattr(credentials, kind), values, credentials.privileged)
            task.credentials = credentials.with_users(new) if kind == "users" else credentials._replace(groups=new)
            return 0

        return handler

    def _set_fs(self, kind: str) -> Handler:
        words, register = self._words, self._guest.args[0]

        def handler(task: Task) -> int | None:
            credentials = task.credentials
            ids: Ids = getattr(credentials, kind)
            new = set_fs(ids, words[register] & KEEP, credentials.privileged)
            task.credentials = credentials._replace(users=new) if kind == "users" else credentials._replace(groups=new)
            return ids.fs

        return handler

    def _getgroups(self) -> Handler:
        words, args = self._words, self._guest.args

        def handler(task: Task) -> int | None:
            groups = task.credentials.supplementary
            room = words[args[0]] & KEEP
            if room == 0:
                return len(groups)
            if room < len(groups):
                return -errno.EINVAL
            task.space.write(task.pid, words[args[1]], struct.pack(f"={len(groups)}I", *groups))
            return len(groups)

        return handler

    def _setgroups(self) -> Handler:
        words, args = self._words, self._guest.args

        def handler(task: Task) -> int | None:
            credentials: Credentials = task.credentials
            if not credentials.privileged:
                return -errno.EPERM
            count = words[args[0]] & KEEP
            if count > _MAX_GROUPS:
                return -errno.EINVAL
            data = task.space.read(task.pid, words[args[1]], 4 * count) if count else b""
            task.credentials = credentials._replace(supplementary=struct.unpack(f"={len(data) // 4}I", data))
            return 0

        return handler

    def _capset(self, task: Task) -> int | None:
        """Seems to be done; giving up what was kept counts."""
        words, args = self._words, self._guest.args
        data = task.space.read(task.pid, words[args[1]], 4) if words[args[1]] else b""
        if len(data) == 4 and not struct.unpack("=I", data)[0] & _ID_CAPABILITIES:
            task.credentials = task.credentials._replace(kept=False)
        return 0

    def _prctl(self, task: Task) -> int | None:
        """PR_SET_KEEPCAPS, the only option that stops here."""
        task.credentials = task.credentials._replace(keeps=bool(self._words[self._guest.args[1]]))
        return None

    def _capget(self) -> Handler:
        words, args = self._words, self._guest.args

        def handler(task: Task) -> int | None:
            space, pid = task.space, task.pid
            version, target = struct.unpack("=Ii", space.read(pid, words[args[0]], 8))
            if version not in _VERSIONS:
                space.write(pid, words[args[0]], struct.pack("=I", _VERSION_3))
                return -errno.EINVAL if words[args[1]] else 0
            if not words[args[1]]:
                return 0
            who = self._guest.tasks.get(target) if target else task
            if who is None:
                return -errno.ESRCH
            bits = _CAPABILITIES if who.credentials.privileged else 0
            low, high = bits & KEEP, bits >> 32
            data = struct.pack("=3I", low, low, 0)
            if version != _VERSIONS[0]:
                data += struct.pack("=3I", high, high, 0)
            space.write(pid, words[args[1]], data)
            return 0

        return handler


def handlers(guest: Guest) -> dict[str, Handler]:
    return Identity(guest).table()
