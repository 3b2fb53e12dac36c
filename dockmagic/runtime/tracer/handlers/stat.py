"""stat, readlink and their kin: answered by the tracer, so that owners, modes and devices are the container's."""

from __future__ import annotations

import errno
import os

from dockmagic.runtime.tracer.guest import Guest, Handler
from dockmagic.runtime.tracer.kernel import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, fail, signed32
from dockmagic.runtime.tracer.task import Task


class Stat:
    """The handlers; a table of them is :meth:`table`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._words = guest.words

    def table(self) -> dict[str, Handler]:
        return {
            "stat": self._stat(None, 0, 1, True),
            "lstat": self._stat(None, 0, 1, False),
            "newfstatat": self._stat(0, 1, 2, True, 3),
            "fstat": self._fstat(),
            "statx": self._statx(),
            "readlink": self._readlink(None, 0, 1, 2),
            "readlinkat": self._readlink(0, 1, 2, 3),
        }

    def _target(self, task: Task, fd: int, path: bytes, flags: int, follow: bool) -> tuple[bytes, bool]:
        """(host path, whether the last link is followed) of a call that may mean a descriptor itself."""
        guest = self._guest
        if not path:
            if not flags & AT_EMPTY_PATH:
                raise fail(errno.ENOENT)
            if fd == AT_FDCWD:
                return guest.cwd(task)[1], True
            return b"/proc/%d/fd/%d" % (task.pid, fd), True
        if (
            not follow
            and fd != AT_FDCWD
            and b"/" not in path
            and path not in guest.namespace.names
            and path not in (b".", b"..")
        ):
            return b"/proc/%d/fd/%d/%s" % (task.pid, fd, path), False  # a name in an open folder: no walk, 6 µs less
        return guest.resolve(task, fd, path, follow).host, follow

    def _stat(self, dirfd: int | None, name: int, buffer: int, follow: bool, flags: int | None = None) -> Handler:
        guest, words = self._guest, self._words
        args = guest.args
        folder = -1 if dirfd is None else args[dirfd]
        register, target = args[name], args[buffer]
        flag_register = -1 if flags is None else args[flags]
        stat = guest.files.stat

        def handler(task: Task) -> int | None:
            path = task.space.string(task.pid, words[register])
            asked = words[flag_register] if flag_register >= 0 else 0
            fd = signed32(words[folder]) if folder >= 0 else AT_FDCWD
            host, follows = self._target(task, fd, path, asked, follow and not asked & AT_SYMLINK_NOFOLLOW)
            try:
                data = stat(host, follows)
            except FileNotFoundError:
                if not path:
                    return -errno.EBADF
                raise
            task.space.write(task.pid, words[target], data)
            return 0

        return handler

    def _fstat(self) -> Handler:
        guest, words = self._guest, self._words
        register, target = guest.args[0], guest.args[1]
        stat = guest.files.stat

        def handler(task: Task) -> int | None:
            try:
                data = stat(b"/proc/%d/fd/%d" % (task.pid, signed32(words[register])), True)
            except FileNotFoundError:
                return -errno.EBADF
            task.space.write(task.pid, words[target], data)
            return 0

        return handler

    def _statx(self) -> Handler:
        guest, words = self._guest, self._words
        folder, register, flag_register, mask, target = guest.args[:5]
        statx = guest.files.statx

        def handler(task: Task) -> int | None:
            path = task.space.string(task.pid, words[register]) if words[register] else b""
            asked = words[flag_register] & 0xFFFFFFFF
            follow = not asked & AT_SYMLINK_NOFOLLOW
            host, follows = self._target(task, signed32(words[folder]), path, asked, follow)
            try:
                data = statx(host, asked & ~AT_EMPTY_PATH, words[mask] & 0xFFFFFFFF, follows)
            except FileNotFoundError:
                if not path:
                    return -errno.EBADF
                raise
            task.space.write(task.pid, words[target], data)
            return 0

        return handler

    def _readlink(self, dirfd: int | None, name: int, buffer: int, size: int) -> Handler:
        guest, words = self._guest, self._words
        folder = -1 if dirfd is None else guest.args[dirfd]
        register, target, room = guest.args[name], guest.args[buffer], guest.args[size]

        def handler(task: Task) -> int | None:
            path = task.space.string(task.pid, words[register])
            fd = signed32(words[folder]) if folder >= 0 else AT_FDCWD
            limit = signed32(words[room])
            if limit <= 0:
                return -errno.EINVAL
            value: bytes | None = None
            if not path:
                if fd == AT_FDCWD:
                    return -errno.ENOENT
                value = os.readlink(guest.descriptor(task, fd))
            else:
                place = guest.resolve(task, fd, path, False)
                if place.guest.startswith(b"/proc/"):
                    value = guest.proc.link(place.guest, task)
                if value is None:
                    value = os.readlink(place.host)
            value = value[:limit]
            task.space.write(task.pid, words[target], value)
            return len(value)

        return handler


def handlers(guest: Guest) -> dict[str, Handler]:
    return Stat(guest).table()
