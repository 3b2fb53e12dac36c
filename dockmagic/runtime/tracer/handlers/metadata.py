"""chmod, chown and mknod: answered by the tracer and remembered beside the file."""

from __future__ import annotations

import errno
import os
import stat

from dockmagic.ownership import Recorded
from dockmagic.runtime.tracer.guest import Guest, Handler
from dockmagic.runtime.tracer.identity import KEEP, Credentials
from dockmagic.runtime.tracer.kernel import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, signed32
from dockmagic.runtime.tracer.task import Task


class Metadata:
    """The handlers; a table of them is :meth:`table`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._words = guest.words

    def table(self) -> dict[str, Handler]:
        return {
            "chmod": self._chmod(None, 0, 1),
            "fchmodat": self._chmod(0, 1, 2),
            "fchmodat2": self._chmod(0, 1, 2, 3),
            "fchmod": self._fchmod(),
            "chown": self._chown(None, 0, 1, True),
            "lchown": self._chown(None, 0, 1, False),
            "fchownat": self._chown(0, 1, 2, True, 4),
            "fchown": self._fchown(),
            "mknod": self._mknod(None, 0),
            "mknodat": self._mknod(0, 1),
        }

    def _host(self, task: Task, dirfd: int | None, name: int, flags: int, follow: bool) -> tuple[bytes, bool]:
        """(the host's path of a file about to change, whether it goes through a descriptor)"""
        guest = self._guest
        fd = AT_FDCWD if dirfd is None else signed32(self._words[guest.args[dirfd]])
        path = guest.path(task, guest.args[name])
        if not path and flags & AT_EMPTY_PATH:
            if fd == AT_FDCWD:
                return guest.cwd(task)[1], False
            return guest.own_descriptor(task, fd), True
        place = guest.resolve(task, fd, path, follow)
        guest.own(place)
        return place.host.rstrip(b"/") or b"/", b"/fd/" in place.guest and place.guest.startswith(b"/proc/")

    # --- chmod ---

    def _chmod(self, dirfd: int | None, name: int, mode: int, flags: int | None = None) -> Handler:
        guest, words = self._guest, self._words
        mode_register = guest.args[mode]
        flag_register = -1 if flags is None else guest.args[flags]

        def handler(task: Task) -> int | None:
            asked = words[flag_register] if flag_register >= 0 else 0
            follow = not asked & AT_SYMLINK_NOFOLLOW
            host, magic = self._host(task, dirfd, name, asked, follow)
            if not follow and stat.S_ISLNK(os.lstat(host).st_mode):
                return -errno.EOPNOTSUPP
            return self._set_mode(task, host, words[mode_register], magic)

        return handler

    def _fchmod(self) -> Handler:
        guest, words = self._guest, self._words
        register, mode_register = guest.args[0], guest.args[1]

        def handler(task: Task) -> int | None:
            host = guest.own_descriptor(task, signed32(words[register]))
            return self._set_mode(task, host, words[mode_register], True)

        return handler

    def _set_mode(self, task: Task, host: bytes, mode: int, follow: bool) -> int:
        files, credentials = self._guest.files, task.credentials
        if credentials.users.fs:
            seen = files.seen(host, follow)
            if seen.uid != credentials.users.fs:
                return -errno.EPERM
            if not stat.S_ISDIR(seen.mode) and not credentials.in_group(seen.gid):
                mode &= ~stat.S_ISGID
        files.change_mode(host, mode, follow)
        return 0

    # --- chown ---

    def _chown(self, dirfd: int | None, name: int, uid: int, follow: bool, flags: int | None = None) -> Handler:
        guest, words = self._guest, self._words
        uid_register, gid_register = guest.args[uid], guest.args[uid + 1]
        flag_register = -1 if flags is None else guest.args[flags]

        def handler(task: Task) -> int | None:
            asked = words[flag_register] if flag_register >= 0 else 0
            host, magic = self._host(task, dirfd, name, asked, follow and not asked & AT_SYMLINK_NOFOLLOW)
            return self._set_owner(task, host, words[uid_register], words[gid_register], magic)

        return handler

    def _fchown(self) -> Handler:
        guest, words = self._guest, self._words
        register, uid_register, gid_register = guest.args[:3]

        def handler(task: Task) -> int | None:
            host = guest.own_descriptor(task, signed32(words[register]))
            return self._set_owner(task, host, words[uid_register], words[gid_register], True)

        return handler

    def _set_owner(self, task: Task, host: bytes, uid: int, gid: int, follow: bool) -> int:
        files = self._guest.files
        uid, gid = uid & KEEP, gid & KEEP
        if task.credentials.users.fs:
            seen = files.seen(host, follow)
            if stat.S_ISLNK(seen.mode) and uid in (KEEP, task.credentials.users.fs):
                return 0  # a link's owner is not kept: it may have been this user's
            if not _may_give(task.credentials, seen, uid, gid):
                return -errno.EPERM
        files.change_owner(host, uid, gid, follow)
        return 0

    # --- mknod ---

    def _mknod(self, dirfd: int | None, name: int) -> Handler:
        guest, words = self._guest, self._words
        folder = -1 if dirfd is None else guest.args[dirfd]
        register, mode_register, device_register = guest.args[name], guest.args[name + 1], guest.args[name + 2]

        def handler(task: Task) -> int | None:
            fd = signed32(words[folder]) if folder >= 0 else AT_FDCWD
            place = guest.resolve(task, fd, guest.path(task, register), False)
            guest.adding(task, place)
            mode = words[mode_register] & 0xFFFF
            kind = stat.S_IFMT(mode) or stat.S_IFREG
            wanted = mode & 0o7777 & ~task.fs.umask
            parent, credentials = guest.parent(place).host, task.credentials
            device = kind in (stat.S_IFCHR, stat.S_IFBLK)
            if device and not credentials.privileged:
                return -errno.EPERM
            if kind in (stat.S_IFIFO, stat.S_IFSOCK):
                os.mknod(place.host, kind | wanted & 0o777 | 0o600)
            elif device or kind == stat.S_IFREG:
                os.mknod(place.host, stat.S_IFREG | wanted & 0o777 | 0o600)
            else:
                return -errno.EINVAL
            os.chmod(place.host, wanted & 0o777 | 0o600)
            guest.files.born(place.host, parent, credentials, kind | wanted)
            if device:
                number = words[device_register] & 0xFFFFFFFF  # the kernel's 32-bit dev_t is the C library's, cut
                seen = guest.files.seen(place.host)
                device_record = Recorded(seen.uid, seen.gid, kind | wanted, os.major(number), os.minor(number))
                guest.files.remember(place.host, device_record)
            return 0

        return handler


def _may_give(credentials: Credentials, seen: Recorded, uid: int, gid: int) -> bool:
    """Whether an ordinary user may chown: only its own file, only to a group it is in."""
    if credentials.users.fs != seen.uid or uid not in (KEEP, seen.uid):
        return False
    return gid in (KEEP, seen.gid) or credentials.in_group(gid)


def handlers(guest: Guest) -> dict[str, Handler]:
    return Metadata(guest).table()
