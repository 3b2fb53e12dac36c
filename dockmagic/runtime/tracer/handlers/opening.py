"""open and its kin. Writing to a layer's file copies it up first; a file made is recorded as its maker's."""

from __future__ import annotations

import errno
import os
import stat
import struct

from dockmagic.runtime.tracer.guest import CHANGED, Guest, Handler, NeedScratch
from dockmagic.runtime.tracer.handlers.family import Family
from dockmagic.runtime.tracer.identity import may
from dockmagic.runtime.tracer.kernel import AT_FDCWD, fail, signed32
from dockmagic.runtime.tracer.namespace import Place
from dockmagic.runtime.tracer.task import Task

_O_TMPFILE = 0o20000000  # without O_DIRECTORY's bit; asm-generic/fcntl.h
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | _O_TMPFILE
_NEW = os.O_CREAT | os.O_EXCL
_RESOLVE_BENEATH, _RESOLVE_IN_ROOT = 0x08, 0x10  # linux/openat2.h
_OPEN_HOW = struct.Struct("=3Q")


class Opening(Family):
    """The handlers; a table of them is :meth:`table`."""

    def table(self) -> dict[str, Handler]:
        return {
            "open": self._opening(None, 0, 1, 2),
            "openat": self._opening(0, 1, 2, 3),
            "creat": self._creat(),
            "openat2": self._openat2(),
        }

    def _opening(self, dirfd: int | None, name: int, flags: int, mode: int) -> Handler:
        guest, words = self._guest, self._words
        folder, register = self._register(dirfd), self._register(name)
        flag_register, mode_register = self._register(flags), self._register(mode)
        nofollow = os.O_NOFOLLOW

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            asked = words[flag_register] & 0xFFFFFFFF
            follow = not (asked & nofollow or asked & _NEW == _NEW)
            place = guest.resolve(task, signed32(words[folder]) if folder >= 0 else AT_FDCWD, path, follow)
            if asked & _CHANGES or task.credentials.users.fs:
                changed = self._open_carefully(task, place, asked, words[mode_register], follow)
                if changed is not None and changed != asked:
                    words[flag_register] = changed
                    return guest.put(task, register, place.host)
            if not asked & (_CHANGES | os.O_PATH) and place.guest.startswith(b"/proc/"):
                made = guest.proc_files.stand_in(place.guest, task)
                if made is not None:
                    return guest.put(task, register, made)
            if path[0] != 0x2F and place.host == guest.base + b"/" + path:
                return None
            return guest.put(task, register, place.host)

        return handler

    def _creat(self) -> Handler:
        guest, words = self._guest, self._words
        register, mode_register = self._register(0), self._register(1)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            place = guest.resolve(task, AT_FDCWD, path, True)
            flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
            self._open_carefully(task, place, flags, words[mode_register], True)
            return self._finish(task, register, path, place)

        return handler

    def _openat2(self) -> Handler:
        guest, words = self._guest, self._words
        folder, register, how = (self._register(i) for i in (0, 1, 2))

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            data = task.space.read(task.pid, words[how], _OPEN_HOW.size)
            if len(data) < _OPEN_HOW.size:
                raise fail(errno.EFAULT)
            flags, mode, resolve = _OPEN_HOW.unpack(data)
            follow = not (flags & os.O_NOFOLLOW or flags & _NEW == _NEW)
            if resolve & (_RESOLVE_BENEATH | _RESOLVE_IN_ROOT):
                path = path.lstrip(b"/") if resolve & _RESOLVE_IN_ROOT else path
            place = guest.resolve(task, self._dirfd(folder), path or b".", follow)
            if flags & _CHANGES or task.credentials.users.fs:
                changed = self._open_carefully(task, place, flags, mode, follow)
                flags = flags if changed is None else changed
            if resolve & (_RESOLVE_BENEATH | _RESOLVE_IN_ROOT) and guest.natural(path, place):
                return None
            address = task.reserve(_OPEN_HOW.size + len(place.host) + 1)
            if address is None:
                raise NeedScratch(_OPEN_HOW.size + len(place.host) + 1)
            block = _OPEN_HOW.pack(flags, mode, 0) + place.host + b"\0"
            task.space.write(task.pid, address, block)
            words[how] = address
            words[register] = address + _OPEN_HOW.size
            return CHANGED

        return handler

    def _open_carefully(self, task: Task, place: Place, flags: int, mode: int, follow: bool) -> int | None:
        """Everything that must be so before the kernel opens for writing, or for a user who isn't root.

        Gives other flags to open with when the file was made here, so that its owner and mode are right from the start.
        """
        guest, credentials = self._guest, task.credentials
        if place.guest.startswith(b"/proc/") or flags & os.O_PATH:
            return self._open_magic(task, place, flags)
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC))
        host = place.host
        try:
            real = os.stat(host, follow_symlinks=follow)
        except FileNotFoundError:
            if flags & os.O_CREAT:
                return self._create(task, place, flags, mode)
            return None
        if flags & _NEW == _NEW or stat.S_ISLNK(real.st_mode):
            return None  # the kernel says EEXIST or ELOOP
        if flags & _O_TMPFILE:
            guest.writable(place)
            return None
        special = not (stat.S_ISREG(real.st_mode) or stat.S_ISDIR(real.st_mode))
        if credentials.users.fs and not special:
            want = (0 if flags & os.O_WRONLY else 4) | (2 if writes else 0)
            seen = guest.files.seen(host)
            if not may(credentials, seen.uid, seen.gid, seen.mode, want):
                raise fail(errno.EACCES)
        if not special and writes and stat.S_ISREG(real.st_mode):
            guest.own(place)
            if guest.unprivileged and not real.st_mode & 0o200:
                guest.files.open_up(host)
        return None

    def _open_magic(self, task: Task, place: Place, flags: int) -> int | None:
        """Opening a descriptor again for writing writes to the file it refers to."""
        guest = self._guest
        if flags & os.O_PATH or not flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            return None
        guest.writable(place)
        if guest.copy_up is None:
            return None
        if b"/fd/" not in place.guest:
            return None
        try:
            host = os.readlink(place.host)
            real = os.stat(place.host)
        except OSError:
            return None
        if not os.path.isabs(host) or guest.namespace.guest(host) is None:
            return None
        if guest.copy_up.shared(place.host, real, follow=True):
            raise fail(errno.EACCES)
        return None

    def _create(self, task: Task, place: Place, flags: int, mode: int) -> int | None:
        guest, credentials = self._guest, task.credentials
        if place.host.endswith(b"/"):
            return None  # the kernel says EISDIR
        guest.adding(task, place)
        parent = guest.parent(place).host
        mode = mode & 0o7777 & ~task.fs.umask
        ordinary = credentials.plain_root and mode & 0o600 == 0o600 and not mode & 0o7000
        if ordinary and guest.files.inherited_group(parent) is None:
            return None
        number = os.open(place.host, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode & 0o777 | 0o600)
        os.close(number)
        os.chmod(place.host, mode & 0o777 | 0o600)
        guest.files.born(place.host, parent, credentials, stat.S_IFREG | mode)
        return flags & ~os.O_EXCL


def handlers(guest: Guest) -> dict[str, Handler]:
    return Opening(guest).table()
