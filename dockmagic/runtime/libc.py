"""The Linux calls that Python (from 3.10) has no function for, each under its own name, raising OSError.

Numbers are those of the kernel's uapi headers; where a call has no libc function its number is given for x86_64
and aarch64, the two machines namespaces are supported on.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2

_X86_64 = platform.machine() in ("x86_64", "AMD64")
_PIVOT_ROOT = 155 if _X86_64 else 41
_SECCOMP = 317 if _X86_64 else 277
_CLOSE_RANGE = 436
_MOUNT_SETATTR = 442
_OPENAT2 = 437
_RESOLVE_IN_ROOT = 0x10  # linux/openat2.h
_CLOSE_RANGE_CLOEXEC = 4
_AT_RECURSIVE = 0x8000
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h

_libc = ctypes.CDLL(None, use_errno=True)
_text = ctypes.c_char_p
_mount = _libc.mount
_mount.argtypes = (_text, _text, _text, ctypes.c_ulong, _text)
_umount2 = _libc.umount2
_umount2.argtypes = (_text, ctypes.c_int)
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def _check(result: int, what: str | None = None) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def setns(fd: int, kind: int = 0) -> None:
    """Join the namespace ``fd`` names; ``kind`` 0 takes any, else it must be of that CLONE_NEW* kind."""
    _check(_libc.setns(fd, kind))


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    encode = os.fsencode
    _check(
        _mount(
            None if source is None else encode(source),
            encode(target),
            None if kind is None else encode(kind),
            flags,
            None if data is None else encode(data),
        ),
        target,
    )


def umount(target: str, flags: int = MNT_DETACH) -> None:
    _check(_umount2(os.fsencode(target), flags), target)


def pivot_root(new: str, old: str) -> None:
    _check(_syscall(_PIVOT_ROOT, _text(os.fsencode(new)), _text(os.fsencode(old))), new)


def make_read_only_tree(path: str, attributes: int = MS_RDONLY) -> None:
    """Add mount attributes to a mount and all below it (mount_setattr, Linux 5.12). OSError where it is missing."""
    request = struct.pack("=QQQQ", attributes, 0, 0, 0)
    arguments = (ctypes.c_int(-100), _text(os.fsencode(path)), ctypes.c_uint(_AT_RECURSIVE), _text(request))
    _check(_syscall(_MOUNT_SETATTR, *arguments, ctypes.c_size_t(len(request))), path)


def open_in_root(root: int, path: bytes, flags: int) -> int:
    """Open ``path`` as if descriptor ``root`` were ``/``, links and all (openat2, Linux 5.6)."""
    how = struct.pack("=QQQ", flags, 0o600 if flags & os.O_CREAT else 0, _RESOLVE_IN_ROOT)
    arguments = (ctypes.c_int(root), _text(path), _text(how), ctypes.c_size_t(len(how)))
    return _check(_syscall(_OPENAT2, *arguments))


def sethostname(name: str) -> None:
    value = name.encode()
    _check(_libc.sethostname(value, ctypes.c_size_t(len(value))))


def setdomainname(name: str) -> None:
    value = name.encode()
    _check(_libc.setdomainname(value, ctypes.c_size_t(len(value))))


def prctl(option: int, first: int = 0, second: int = 0, third: int = 0, fourth: int = 0) -> int:
    return _check(_prctl(option, first, second, third, fourth))


def set_name(name: str) -> None:
    """The calling thread's name as ``ps`` shows it (15 bytes)."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the three sets of the calling thread, each a mask of ``1 << capability``."""
    low = (1 << 32) - 1
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    data = struct.pack(
        "=6I", effective & low, permitted & low, inheritable & low, effective >> 32, permitted >> 32, inheritable >> 32
    )
    _check(_libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(data)))


def seccomp_filter(program: bytes, flags: int = 0) -> int:
    """Install a seccomp BPF program (struct sock_filter items); with SECCOMP_FILTER_FLAG_NEW_LISTENER, its fd."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(program) // 8, ctypes.addressof(code)), 16)
    return _check(_syscall(_SECCOMP, ctypes.c_uint(1), ctypes.c_uint(flags), ctypes.c_void_p(ctypes.addressof(header))))


def close_on_exec_from(first: int) -> None:
    """Mark every open descriptor from ``first`` on close-on-exec (close_range; by hand before Linux 5.11)."""
    last = ctypes.c_uint(0xFFFFFFFF)
    if _syscall(_CLOSE_RANGE, ctypes.c_uint(first), last, ctypes.c_uint(_CLOSE_RANGE_CLOEXEC)) == 0:
        return
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd >= first:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                pass  # the descriptor of the listing itself, closed by now


def single_threaded() -> bool:
    return len(os.listdir("/proc/self/task")) == 1
