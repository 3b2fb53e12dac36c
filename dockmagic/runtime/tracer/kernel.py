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
PTRACE_INTERRUPT = 0x4207
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

# No argtypes: ctypes then takes small ints, bytes and its own objects as they are, which saves 0.4 µs a call. An int is
# a C int, so addresses must be given as c_void_p or as a ctypes buffer.
_checked = ctypes.PyDLL(None, use_errno=True)
_unchecked = ctypes.PyDLL(None)  # without errno: another 0.3 µs
ptrace = _unchecked.ptrace
ptrace_checked = _checked.ptrace
syscall = _checked.syscall
getxattr, lgetxattr = _unchecked.getxattr, _unchecked.lgetxattr
getxattr_checked, lgetxattr_checked = _checked.getxattr, _checked.lgetxattr
faccessat = _checked.faccessat
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
    if ptrace_checked(PTRACE_SEIZE, pid, 0, options) != 0:
        raise fail(get_errno())


def signed32(value: int) -> int:
    """A register's low half as the C int it is (descriptors, AT_FDCWD)."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value
