"""ptrace and the few raw calls the tracer makes for itself, with the constants of the kernel's uapi headers.

These are called through ctypes' PyDLL, which keeps the interpreter's lock: none of them blocks, the tracer has one
thread, and giving the lock up and taking it again costs more than the call.
"""

from __future__ import annotations

import ctypes
import os

# linux/ptrace.h
PTRACE_CONT = 7
PTRACE_SYSCALL = 24
PTRACE_GETEVENTMSG = 0x4201
PTRACE_GETREGSET = 0x4204
PTRACE_SETREGSET = 0x4205
PTRACE_SEIZE = 0x4206
PTRACE_LISTEN = 0x4208
PTRACE_EVENT_FORK = 1
PTRACE_EVENT_VFORK = 2
PTRACE_EVENT_CLONE = 3
PTRACE_EVENT_EXEC = 4
PTRACE_EVENT_SECCOMP = 7
PTRACE_EVENT_STOP = 128
PTRACE_O_TRACESYSGOOD = 1
PTRACE_O_TRACEFORK = 1 << PTRACE_EVENT_FORK
PTRACE_O_TRACEVFORK = 1 << PTRACE_EVENT_VFORK
PTRACE_O_TRACECLONE = 1 << PTRACE_EVENT_CLONE
PTRACE_O_TRACEEXEC = 1 << PTRACE_EVENT_EXEC
PTRACE_O_TRACESECCOMP = 1 << PTRACE_EVENT_SECCOMP
PTRACE_O_EXITKILL = 1 << 20
NT_PRSTATUS = 1  # linux/elf.h
WALL = 0x40000000  # __WALL, linux/wait.h

AT_FDCWD = -100  # linux/fcntl.h
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EACCESS = 0x200
AT_EMPTY_PATH = 0x1000

CLONE_VM = 0x100  # linux/sched.h
CLONE_FS = 0x200
CLONE_FILES = 0x400
CLONE_THREAD = 0x10000

_libc = ctypes.PyDLL(None, use_errno=True)
ptrace = _libc.ptrace
ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ptrace.restype = ctypes.c_long
syscall = _libc.syscall
syscall.argtypes = (ctypes.c_long,) * 7
syscall.restype = ctypes.c_long
lgetxattr = _libc.lgetxattr
lgetxattr.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
lgetxattr.restype = ctypes.c_ssize_t
getxattr = _libc.getxattr
getxattr.argtypes = lgetxattr.argtypes
getxattr.restype = ctypes.c_ssize_t
faccessat = _libc.faccessat
faccessat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
faccessat.restype = ctypes.c_int
get_errno = ctypes.get_errno


def fail(code: int) -> OSError:
    """The error of a call that should fail with ``code`` in the container."""
    return OSError(code, os.strerror(code))


def seize(pid: int) -> None:
    """Trace ``pid`` and all that it will start. Raises OSError."""
    options = (
        PTRACE_O_TRACESYSGOOD
        | PTRACE_O_TRACEFORK
        | PTRACE_O_TRACEVFORK
        | PTRACE_O_TRACECLONE
        | PTRACE_O_TRACEEXEC
        | PTRACE_O_TRACESECCOMP
        | PTRACE_O_EXITKILL
    )
    if ptrace(PTRACE_SEIZE, pid, 0, options) != 0:
        raise fail(get_errno())


def signed32(value: int) -> int:
    """A register's low half as the C int it is (descriptors, AT_FDCWD)."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value
