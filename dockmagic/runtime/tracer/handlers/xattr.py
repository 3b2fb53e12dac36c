"""Extended attributes: what an ordinary user may not set is kept under a name of ours, and ours are hidden.

``security.capability`` becomes ``user.dockmagic.xattr.security.capability`` (see ownership), which a layer's tar turns
back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from dockmagic.ownership import XATTR_PREFIX
from dockmagic.runtime.tracer import kernel
from dockmagic.runtime.tracer.guest import Guest, Handler
from dockmagic.runtime.tracer.identity import may
from dockmagic.runtime.tracer.kernel import AT_FDCWD, fail, signed32
from dockmagic.runtime.tracer.task import Task

HIDDEN = b"user.dockmagic."
_PREFIX = XATTR_PREFIX.encode()
_KEPT = (b"security.", b"trusted.")
_ACL = b"system.posix_acl_access"
_ACL_VERSION = 2
_ACL_OWNER, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = 1, 4, 16, 32  # linux/posix_acl.h
_SIZE_MAX = 65536  # XATTR_SIZE_MAX, linux/limits.h
_NAME_MAX = 255


class Attributes:
    """The handlers; a table of them is :meth:`table`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._words = guest.words

    def table(self) -> dict[str, Handler]:
        table: dict[str, Handler] = {}
        for prefix, follow in (("", True), ("l", False), ("f", None)):
            table[f"{prefix}getxattr"] = self._get(follow)
            table[f"{prefix}setxattr"] = self._set(follow)
            table[f"{prefix}listxattr"] = self._list(follow)
            table[f"{prefix}removexattr"] = self._remove(follow)
        return table

    def _file(self, task: Task, follow: bool | None, *, changes: bool) -> tuple[bytes, bool]:
        """(the host's path, whether its last link is followed); ``follow`` None means a descriptor."""
        guest = self._guest
        register = guest.args[0]
        if follow is None:
            fd = signed32(self._words[register])
            if changes:
                return guest.own_descriptor(task, fd), True
            return b"/proc/%d/fd/%d" % (task.pid, fd), True
        place = guest.resolve(task, AT_FDCWD, guest.path(task, register), follow)
        if changes:
            guest.own(place)
        return place.host, follow

    def _name(self, task: Task) -> bytes:
        name = task.space.string(task.pid, self._words[self._guest.args[1]], _NAME_MAX)
        if not name:
            raise fail(errno.ERANGE)
        return name

    def _answer(self, task: Task, value: bytes, buffer: int, size: int) -> int:
        room = self._words[self._guest.args[size]]
        if room == 0:
            return len(value)
        if room < len(value):
            return -errno.ERANGE
        if value:
            task.space.write(task.pid, self._words[self._guest.args[buffer]], value)
        return len(value)

    def _get(self, follow: bool | None) -> Handler:
        buffer = ctypes.create_string_buffer(_SIZE_MAX)

        def handler(task: Task) -> int | None:
            host, follows = self._file(task, follow, changes=False)
            name = self._name(task)
            if name.startswith(HIDDEN):
                return -errno.ENODATA
            # Most files have none, and an exception for each would cost ls -l some 2 µs a file
            get = kernel.getxattr_checked if follows else kernel.lgetxattr_checked
            size = get(host, _PREFIX + name, buffer, _SIZE_MAX) if name.startswith(_KEPT) else -1
            if size < 0:
                size = get(host, name, buffer, _SIZE_MAX)
            if size < 0:
                return -kernel.get_errno()
            return self._answer(task, ctypes.string_at(buffer, size), 2, 3)

        return handler

    def _list(self, follow: bool | None) -> Handler:
        def handler(task: Task) -> int | None:
            host, follows = self._file(task, follow, changes=False)
            names = [os.fsencode(name) for name in os.listxattr(host, follow_symlinks=follows)]
            seen = [name for name in names if not name.startswith(HIDDEN)]
            kept = [name[len(_PREFIX) :] for name in names if name.startswith(_PREFIX)]
            return self._answer(task, b"".join(name + b"\0" for name in dict.fromkeys(seen + kept)), 1, 2)

        return handler

    def _set(self, follow: bool | None) -> Handler:
        args, words = self._guest.args, self._words

        def handler(task: Task) -> int | None:
            name = self._name(task)
            size = words[args[3]]
            if size > _SIZE_MAX:
                return -errno.E2BIG
            value = task.space.read(task.pid, words[args[2]], size) if size else b""
            host, follows = self._file(task, follow, changes=True)
            kept = self._allowed(task, name, host, follows)
            mode, extended = mode_of_acl(value) if name == _ACL else (None, True)
            if extended:
                os.setxattr(host, kept, value, words[args[4]], follow_symlinks=follows)
            if mode is not None:
                special = self._guest.files.seen(host, follows).mode & 0o7000
                self._guest.files.change_mode(host, special | mode, follows)
            return 0

        return handler

    def _remove(self, follow: bool | None) -> Handler:
        def handler(task: Task) -> int | None:
            name = self._name(task)
            host, follows = self._file(task, follow, changes=True)
            os.removexattr(host, self._allowed(task, name, host, follows), follow_symlinks=follows)
            return 0

        return handler

    def _allowed(self, task: Task, name: bytes, host: bytes, follow: bool) -> bytes:
        """The name to change it under. Raises OSError(EPERM, EACCES) when this user may not."""
        if name.startswith(HIDDEN):
            raise fail(errno.EPERM)
        credentials = task.credentials
        if credentials.users.fs:
            seen = self._guest.files.seen(host, follow)
            if name.startswith(_KEPT) or (name.startswith(b"system.") and seen.uid != credentials.users.fs):
                raise fail(errno.EPERM)
            if not may(credentials, seen.uid, seen.gid, seen.mode, 2):
                raise fail(errno.EACCES)
        return _PREFIX + name if name.startswith(_KEPT) else name


def mode_of_acl(value: bytes) -> tuple[int | None, bool]:
    """(the permission bits that an access control list sets, whether it says more than those).

    cp sets modes so. The format is that of linux/posix_acl_xattr.h: a version, then tag, permissions and id of each.
    """
    if len(value) < 4 or len(value) % 8 != 4 or int.from_bytes(value[:4], "little") != _ACL_VERSION:
        return None, True
    entries = {tag: permissions & 7 for tag, permissions, _id in struct.iter_unpack("<HHI", value[4:])}
    if not {_ACL_OWNER, _ACL_GROUP, _ACL_OTHER} <= set(entries):
        return None, True
    group = entries.get(_ACL_MASK, entries[_ACL_GROUP])
    return entries[_ACL_OWNER] << 6 | group << 3 | entries[_ACL_OTHER], len(entries) > 3


def handlers(guest: Guest) -> dict[str, Handler]:
    return Attributes(guest).table()
