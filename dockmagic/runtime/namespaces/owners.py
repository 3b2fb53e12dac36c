"""Remembering what a root with one id could not do: owners, modes, devices, attributes of the kernel's.

With one id mapped, chown and its like are answered with success (seccomp.py). Where the kernel can ask (a seccomp
notification, Linux 5.6), it asks the shim, which records in :mod:`dockmagic.ownership` what was wanted, so that layers
carry it. The process waits meanwhile, some 50 µs a call.

The shim acts from outside the container, so paths are resolved by openat2 within the container's root.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import stat
import struct
from collections.abc import Callable

from dockmagic import ownership
from dockmagic.ownership import Recorded
from dockmagic.runtime import libc

NEW_LISTENER = 1 << 3  # SECCOMP_FILTER_FLAG_NEW_LISTENER (linux/seccomp.h)
WAIT_KILLABLE = 1 << 5  # SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19
_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_UNCHANGED = 0xFFFFFFFF
_LONGEST_PATH = 4096
_LONGEST_NAME = 256
_LARGEST_VALUE = 65536
_SET_ID = stat.S_ISUID | stat.S_ISGID

CALLS = {
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "mknod": (133, None), "mknodat": (259, 33),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
}  # fmt: skip
"""The calls that are asked about: their numbers on x86_64 and aarch64."""


def install(program: bytes) -> int:
    """Install a filter that asks; the descriptor it asks by."""
    try:
        return libc.seccomp_filter(program, NEW_LISTENER | WAIT_KILLABLE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return libc.seccomp_filter(program, NEW_LISTENER)


class OwnerKeeper:
    """Answers the questions of one filter. ``root``: an O_PATH descriptor of the container's root folder."""

    def __init__(self, listener: int, root: int) -> None:
        self.listener = listener
        self._root = root
        column = 0 if platform.machine() in ("x86_64", "AMD64") else 1
        self._names = {numbers[column]: name for name, numbers in CALLS.items() if numbers[column] is not None}
        self._actions: dict[str, Callable[[int, tuple[int, ...]], bool]] = {
            "chown": lambda pid, a: self._chown(self._at(pid, _AT_FDCWD, a[0]), a[1], a[2]),
            "lchown": lambda pid, a: self._chown(self._at(pid, _AT_FDCWD, a[0], follow=False), a[1], a[2]),
            "fchown": lambda pid, a: self._chown(_descriptor(pid, a[0]), a[1], a[2]),
            "fchownat": lambda pid, a: self._chown(self._at_flags(pid, a[0], a[1], a[4]), a[2], a[3]),
            "chmod": lambda pid, a: self._chmod(self._at(pid, _AT_FDCWD, a[0]), a[1]),
            "fchmod": lambda pid, a: self._chmod(_descriptor(pid, a[0]), a[1]),
            "fchmodat": lambda pid, a: self._chmod(self._at(pid, a[0], a[1]), a[2]),
            "fchmodat2": lambda pid, a: self._chmod(self._at_flags(pid, a[0], a[1], a[3]), a[2]),
            "mknod": lambda pid, a: self._mknod(pid, _AT_FDCWD, a[0], a[1], a[2]),
            "mknodat": lambda pid, a: self._mknod(pid, a[0], a[1], a[2], a[3]),
            "setxattr": lambda pid, a: self._setxattr(pid, a, lambda: self._at(pid, _AT_FDCWD, a[0])),
            "lsetxattr": lambda pid, a: self._setxattr(pid, a, lambda: self._at(pid, _AT_FDCWD, a[0], follow=False)),
            "fsetxattr": lambda pid, a: self._setxattr(pid, a, lambda: _descriptor(pid, a[0])),
        }

    def close(self) -> None:
        os.close(self._root)
        os.close(self.listener)

    def answer(self) -> None:
        """Take one question and answer it."""
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, buffer)
        except OSError:
            return  # who asked was killed
        identifier, pid, _flags, number, _architecture, _pointer, *arguments = _NOTIFICATION.unpack(buffer)
        code = flags = 0
        try:
            action = self._actions[self._names[number]]
            if not action(pid, tuple(arguments)):
                flags = _CONTINUE
        except OSError as error:
            code = -(error.errno or errno.EIO)
        try:
            # Had the process gone, its number could by now be another's; then nobody waits for this answer
            fcntl.ioctl(self.listener, _SEND, _RESPONSE.pack(identifier, 0, code, flags))
        except OSError:
            pass

    # --- what was asked for: True when it is done, False for the kernel to do it ---

    def _chown(self, path: int, uid: int, gid: int) -> bool:
        uid, gid = uid & 0xFFFFFFFF, gid & 0xFFFFFFFF
        with _Recordable(path) as file:
            if file.fd < 0:
                return True  # links, pipes and sockets can't carry a record
            old = file.record
            before = old or Recorded(0, 0, file.mode)
            mode = before.mode
            if stat.S_ISREG(mode) and mode & 0o111 and mode & _SET_ID:
                mode &= ~_SET_ID  # as the kernel does
                os.fchmod(file.fd, stat.S_IMODE(mode))
            new = before._replace(
                uid=before.uid if uid == _UNCHANGED else uid, gid=before.gid if gid == _UNCHANGED else gid, mode=mode
            )
            if new != before or old is not None:
                file.write(new)
        return True

    def _chmod(self, path: int, mode: int) -> bool:
        with _Recordable(path) as file:
            if file.record is not None:
                file.write(file.record._replace(mode=stat.S_IFMT(file.record.mode) | (mode & 0o7777)))
        return False

    def _mknod(self, pid: int, folder: int, pointer: int, mode: int, device: int) -> bool:
        """An empty file stands for the device."""
        parent, _, name = _text(pid, pointer, _LONGEST_PATH).rstrip(b"/").rpartition(b"/")
        absolute = _text(pid, pointer, 1) == b"/"
        where = self._resolve(pid, folder, (parent or b"/") if absolute else (parent or b"."), follow=True)
        try:
            fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o600, dir_fd=where)
        finally:
            os.close(where)
        try:
            kept = stat.S_IFMT(mode) | (stat.S_IMODE(mode) & ~_umask(pid))
            ownership.write(fd, Recorded(0, 0, kept, os.major(device), os.minor(device)))
        finally:
            os.close(fd)
        return True

    def _setxattr(self, pid: int, arguments: tuple[int, ...], opened: Callable[[], int]) -> bool:
        name = _text(pid, arguments[1], _LONGEST_NAME)
        if not name.startswith((b"security.", b"trusted.")):
            return False
        value = _memory(pid, arguments[2], min(arguments[3], _LARGEST_VALUE))
        with _Recordable(opened()) as file:
            if file.fd >= 0:
                os.setxattr(file.fd, ownership.XATTR_PREFIX.encode() + name, value)
        return True

    # --- which file was meant: an O_PATH descriptor ---

    def _at(self, pid: int, folder: int, pointer: int, *, follow: bool = True) -> int:
        return self._resolve(pid, folder, _text(pid, pointer, _LONGEST_PATH), follow=follow)

    def _at_flags(self, pid: int, folder: int, pointer: int, flags: int) -> int:
        path = _text(pid, pointer, _LONGEST_PATH)
        if not path and flags & _AT_EMPTY_PATH:
            return _descriptor(pid, folder)
        return self._resolve(pid, folder, path, follow=not flags & _AT_SYMLINK_NOFOLLOW)

    def _resolve(self, pid: int, folder: int, path: bytes, *, follow: bool) -> int:
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        if path.startswith(b"/"):
            root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return libc.open_in_root(root, path, flags)
            finally:
                os.close(root)
        number = _signed(folder)
        place = f"/proc/{pid}/cwd" if number == _AT_FDCWD else f"/proc/{pid}/fd/{number}"
        base = os.fsencode(os.readlink(place))
        return libc.open_in_root(self._root, base + b"/" + path, flags)


class _Recordable:
    """A file or folder, opened such that its record can be read and written; ``fd`` is -1 for other things."""

    def __init__(self, path: int) -> None:
        self._path = path
        self.mode = os.fstat(path).st_mode
        self.fd = -1
        if stat.S_ISREG(self.mode) or stat.S_ISDIR(self.mode):
            try:
                self.fd = os.open(f"/proc/self/fd/{path}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                pass  # a file system that keeps even us out
        self.record = ownership.read(self.fd) if self.fd >= 0 else None

    def write(self, record: Recorded) -> None:
        plain = (record.uid, record.gid) == (0, 0) and record.mode == self.mode
        if plain:
            os.removexattr(self.fd, ownership.ATTRIBUTE)
        else:
            ownership.write(self.fd, record)

    def __enter__(self) -> _Recordable:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._path)
        if self.fd >= 0:
            os.close(self.fd)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _descriptor(pid: int, number: int) -> int:
    return os.open(f"/proc/{pid}/fd/{_signed(number)}", os.O_PATH | os.O_CLOEXEC)


def _memory(pid: int, pointer: int, size: int) -> bytes:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, pointer)
    finally:
        os.close(fd)


def _text(pid: int, pointer: int, longest: int) -> bytes:
    """The bytes before the first NUL. A page that is not there ends the read, not the text."""
    data = _memory(pid, pointer, longest)
    return data.partition(b"\0")[0]


def _umask(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
