"""Files as the container sees them: owners, modes and devices from the record beside the tree, else from the kernel.

The engine's own user is the container's root: what really belongs to it shows as 0:0 unless a record says otherwise.
Real modes always leave the owner reading and writing (folders: entering), since the container's root may do anything
while the engine's user may not; the mode asked for is in the record. Works on host paths and knows nothing of ptrace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

from dockmagic.ownership import ATTRIBUTE, Recorded
from dockmagic.runtime.tracer import kernel
from dockmagic.runtime.tracer.arch import Architecture
from dockmagic.runtime.tracer.identity import KEEP, Credentials, may
from dockmagic.runtime.tracer.kernel import AT_FDCWD, AT_SYMLINK_NOFOLLOW, fail

_ATTRIBUTE = ATTRIBUTE.encode()
_IDS = struct.Struct("=II")
_MODE = struct.Struct("=I")
_DEVICE = struct.Struct("=Q")
_KEY = struct.Struct("=QQ")  # st_dev, st_ino: first in struct stat on both machines
# struct statx, linux/stat.h: stx_uid, stx_gid, stx_mode and stx_ino, stx_rdev_*, stx_dev_*
_STATX_UID, _STATX_MODE, _STATX_RDEV, _STATX_SIZE = 20, 28, 128, 256
_STATX_INO, _STATX_DEV = 32, 136
_RECORD_SIZE = 96
_RECORDABLE = (stat.S_IFREG, stat.S_IFDIR)  # the kernel allows user.* attributes only on these


class Files:
    """One container's files; ``_strays`` holds records that the file system wouldn't (in memory, by device, inode)."""

    def __init__(self, arch: Architecture) -> None:
        self._uid, self._gid = os.geteuid(), os.getegid()
        self._layout = arch.stat
        self._newfstatat = arch.numbers["newfstatat"]
        self._statx = arch.numbers["statx"]
        self._buffer = ctypes.create_string_buffer(_STATX_SIZE)
        self._view = memoryview(self._buffer).cast("B")
        self._stat_view = self._view[: self._layout.size]
        self._value = ctypes.create_string_buffer(_RECORD_SIZE)
        self._decoded: dict[bytes, Recorded | None] = {}
        self._strays: dict[tuple[int, int], Recorded] = {}
        self._inherited: dict[bytes, int | None] = {}
        self._syscall, self._getxattr, self._lgetxattr = kernel.syscall, kernel.getxattr, kernel.lgetxattr

    # --- seeing ---

    def record(self, host: bytes, follow: bool = False) -> Recorded | None:
        """The record beside a file (0.7 µs), not counting those kept in memory."""
        get = self._getxattr if follow else self._lgetxattr
        size = get(host, _ATTRIBUTE, self._value, _RECORD_SIZE)
        if size < 0:
            return None
        value = self._value.raw[:size]
        try:
            return self._decoded[value]
        except KeyError:
            try:
                known: Recorded | None = Recorded.decode(value)
            except ValueError:
                known = None
            self._decoded[value] = known
            return known

    def stat(self, host: bytes, follow: bool) -> memoryview:
        """struct stat as the container sees it, valid until the next call. Raises OSError."""
        layout = self._layout
        flags = 0 if follow else AT_SYMLINK_NOFOLLOW
        if self._syscall(self._newfstatat, AT_FDCWD, host, self._buffer, flags) < 0:
            raise fail(kernel.get_errno())
        buffer = self._buffer
        (mode,) = _MODE.unpack_from(buffer, layout.mode)
        kind = mode & 0o170000
        known = self.record(host, follow) if kind in _RECORDABLE else None
        if known is None and self._strays:
            known = self._strays.get(_KEY.unpack_from(buffer, 0))
        if known is None:
            uid, gid = _IDS.unpack_from(buffer, layout.uid)
            if uid == self._uid or gid == self._gid:
                _IDS.pack_into(buffer, layout.uid, 0 if uid == self._uid else uid, 0 if gid == self._gid else gid)
        else:
            _IDS.pack_into(buffer, layout.uid, known.uid, known.gid)
            _MODE.pack_into(buffer, layout.mode, _merged(known.mode, kind))
            if known.major or known.minor:
                _DEVICE.pack_into(buffer, layout.device, os.makedev(known.major, known.minor))
        return self._stat_view

    def statx(self, host: bytes, flags: int, mask: int, follow: bool) -> memoryview:
        """struct statx as the container sees it, valid until the next call. Raises OSError."""
        flags = flags & ~AT_SYMLINK_NOFOLLOW if follow else flags | AT_SYMLINK_NOFOLLOW
        if self._syscall(self._statx, AT_FDCWD, host, flags, mask, self._buffer) < 0:
            raise fail(kernel.get_errno())
        buffer = self._buffer
        (mode,) = struct.unpack_from("=H", buffer, _STATX_MODE)
        kind = mode & 0o170000
        known = self.record(host, follow) if kind in _RECORDABLE else None
        if known is None and self._strays:
            major, minor = _IDS.unpack_from(buffer, _STATX_DEV)
            (inode,) = _DEVICE.unpack_from(buffer, _STATX_INO)
            known = self._strays.get((os.makedev(major, minor), inode))
        if known is None:
            uid, gid = _IDS.unpack_from(buffer, _STATX_UID)
            _IDS.pack_into(buffer, _STATX_UID, 0 if uid == self._uid else uid, 0 if gid == self._gid else gid)
        else:
            _IDS.pack_into(buffer, _STATX_UID, known.uid, known.gid)
            struct.pack_into("=H", buffer, _STATX_MODE, _merged(known.mode, kind))
            if known.major or known.minor:
                _IDS.pack_into(buffer, _STATX_RDEV, known.major, known.minor)
        return self._view

    def seen(self, host: bytes, follow: bool = False) -> Recorded:
        """Owner, mode and device as the container sees them. Raises OSError."""
        real = os.stat(host, follow_symlinks=follow)
        kind = stat.S_IFMT(real.st_mode)
        known = self.record(host, follow) if kind in _RECORDABLE else None
        if known is None:
            known = self._strays.get((real.st_dev, real.st_ino))
        if known is not None:
            return known._replace(mode=_merged(known.mode, kind))
        uid = 0 if real.st_uid == self._uid else real.st_uid
        gid = 0 if real.st_gid == self._gid else real.st_gid
        return Recorded(uid, gid, real.st_mode, os.major(real.st_rdev), os.minor(real.st_rdev))

    def check(self, host: bytes, credentials: Credentials, want: int, follow: bool = False) -> None:
        """Raises OSError(EACCES) when the permission bits refuse ``want`` (4 read, 2 write, 1 search)."""
        seen = self.seen(host, follow)
        if not may(credentials, seen.uid, seen.gid, seen.mode, want):
            raise fail(errno.EACCES)

    def check_entry(self, parent: bytes, host: bytes, credentials: Credentials) -> None:
        """Raises OSError when a process may not add or remove ``host`` in the folder ``parent`` (sticky bit too)."""
        folder = self.seen(parent, True)
        if not stat.S_ISDIR(folder.mode):
            raise fail(errno.ENOTDIR)
        if not may(credentials, folder.uid, folder.gid, folder.mode, 3):
            raise fail(errno.EACCES)
        if folder.mode & stat.S_ISVTX and credentials.users.fs not in (0, folder.uid):
            try:
                owner = self.seen(host).uid
            except FileNotFoundError:
                return
            if owner != credentials.users.fs:
                raise fail(errno.EPERM)

    def check_change(self, host: bytes, credentials: Credentials) -> None:
        """Raises OSError(EPERM) for who is neither the owner nor may write: times may not be changed then."""
        seen = self.seen(host)
        if credentials.users.fs != seen.uid and not may(credentials, seen.uid, seen.gid, seen.mode, 2):
            raise fail(errno.EPERM)

    # --- changing ---

    def removing(self, host: bytes) -> None:
        """A name goes: what is kept in memory of its file must not outlive the inode's number."""
        if self._strays:
            try:
                real = os.lstat(host)
            except OSError:
                return
            if real.st_nlink < 2:
                self._strays.pop((real.st_dev, real.st_ino), None)

    def forget(self) -> None:
        """Folders moved or went: what was known of them is void."""
        self._inherited.clear()

    def remember(self, host: bytes, record: Recorded, follow: bool = False) -> None:
        """Keep ``record`` beside the file, or in memory where the file system can't. Raises OSError if it is gone."""
        self._inherited.clear()
        value = record.encode()
        try:
            os.setxattr(host, ATTRIBUTE, value, follow_symlinks=follow)
            return
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EBADF):
                raise
        real = os.stat(host, follow_symlinks=follow)
        if stat.S_ISLNK(real.st_mode):
            return  # a link's owner is root's (see ownership)
        if stat.S_IFMT(real.st_mode) in _RECORDABLE:
            try:  # the kernel asks for write permission even of the owner
                os.chmod(host, _usable(real.st_mode))
                os.setxattr(host, ATTRIBUTE, value, follow_symlinks=follow)
                return
            except OSError:
                pass  # no such attributes here
        self._strays[real.st_dev, real.st_ino] = record

    def change_mode(self, host: bytes, mode: int, follow: bool = False) -> None:
        """chmod: what the kernel can't or shouldn't hold (special bits, a mode without u+rw) goes to the record."""
        real = os.stat(host, follow_symlinks=follow)
        wanted = mode & 0o7777
        kind = stat.S_IFMT(real.st_mode)
        usable = _usable(kind | wanted)
        if stat.S_IMODE(real.st_mode) != usable:
            try:
                os.chmod(host, usable)
            except PermissionError:
                if real.st_uid == self._uid:
                    raise
        known = self.record(host, follow) if kind in _RECORDABLE else self._strays.get((real.st_dev, real.st_ino))
        if known is not None:
            self.remember(host, known._replace(mode=_merged(known.mode & 0o170000 | wanted, kind)), follow)
        elif usable != wanted or real.st_uid != self._uid:
            seen = self.seen(host, follow)
            self.remember(host, seen._replace(mode=kind | wanted), follow)

    def change_owner(self, host: bytes, uid: int, gid: int, follow: bool = False) -> None:
        """chown; ``KEEP`` leaves an id. Clears the set-id bits of programs, as the kernel does."""
        seen = self.seen(host, follow)
        new_uid = seen.uid if uid == KEEP else uid
        new_gid = seen.gid if gid == KEEP else gid
        mode = seen.mode
        if stat.S_ISREG(mode) and mode & 0o111 and mode & 0o6000:
            mode &= ~stat.S_ISUID
            if mode & stat.S_IXGRP:
                mode &= ~stat.S_ISGID
        if (new_uid, new_gid, mode) != (seen.uid, seen.gid, seen.mode):
            self.remember(host, seen._replace(uid=new_uid, gid=new_gid, mode=mode), follow)

    def inherited_group(self, parent: bytes) -> int | None:
        """The group that new files in the folder get because of its set-group-id bit, or None."""
        try:
            return self._inherited[parent]
        except KeyError:
            known = self.record(parent, True)
            group = known.gid if known is not None and known.mode & stat.S_ISGID else None
            if len(self._inherited) > 10_000:
                self._inherited.clear()
            self._inherited[parent] = group
            return group

    def born(self, host: bytes, parent: bytes, credentials: Credentials, mode: int) -> None:
        """Record what a file that was just made is like. ``mode`` has its type, and the umask taken off."""
        uid, gid = credentials.users.fs, credentials.groups.fs
        group = self.inherited_group(parent)
        if group is not None:
            gid = group
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        if uid or gid or _usable(mode) != stat.S_IMODE(mode):
            self.remember(host, Recorded(uid, gid, mode))

    def open_up(self, host: bytes) -> None:
        """Give the engine's user back the use of a file of its own whose mode forbids it (images have such)."""
        try:
            real = os.lstat(host)
        except OSError:
            return
        usable = _usable(real.st_mode)
        if real.st_uid != self._uid or stat.S_IMODE(real.st_mode) & usable == usable:
            return
        if stat.S_IFMT(real.st_mode) not in _RECORDABLE:
            return
        seen = self.seen(host)
        os.chmod(host, usable)
        self.remember(host, seen)


def _usable(mode: int) -> int:
    """Permission bits that leave the owner the use of it, without set-id bits."""
    return mode & 0o1777 | (0o700 if stat.S_ISDIR(mode) else 0o600)


def _merged(recorded: int, kind: int) -> int:
    """A record's mode, or its permissions with the real type when the record is of another kind of file.

    Devices and other special files stand as empty regular files.
    """
    if recorded & 0o170000 == kind or (kind == stat.S_IFREG and recorded & 0o170000 not in (0, stat.S_IFDIR)):
        return recorded
    return kind | recorded & 0o7777
