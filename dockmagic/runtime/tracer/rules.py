"""Which call gets which action: the policy that filter.py's mechanism carries out."""

from __future__ import annotations

import errno
import functools

from dockmagic.runtime.tracer.arch import Architecture
from dockmagic.runtime.tracer.filter import ALLOW, TRACE, Case, FilterBuilder, answer

# Refused as Docker's default profile refuses them without CAP_SYS_ADMIN and its like (moby's
# profiles/seccomp/default_linux.go): also when the engine runs as root, whose powers the container must not get.
_DENIED = (
    "mount", "umount2", "pivot_root", "swapon", "swapoff", "reboot", "init_module", "finit_module", "delete_module",
    "kexec_load", "kexec_file_load", "settimeofday", "clock_settime", "iopl", "ioperm", "acct", "quotactl",
    "quotactl_fd", "lookup_dcookie", "bpf", "perf_event_open", "userfaultfd", "vhangup", "syslog", "setns",
    "keyctl", "add_key", "request_key", "fanotify_init", "fanotify_mark", "ptrace", "process_vm_readv",
    "process_vm_writev",
)  # fmt: skip
# Not there at all, so that programs fall back to calls whose paths are seen. clone3's flags are in memory, where a
# filter can't look; Docker answers the same.
_MISSING = (
    "clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "open_by_handle_at", "name_to_handle_at",
    "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "setxattrat",
    "getxattrat", "listxattrat", "removexattrat", "statmount", "listmount", "open_tree_attr", "file_getattr",
    "file_setattr",
)  # fmt: skip

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* but for time's bit, which is part of clone's exit signal; linux/sched.h
_PRCTL_SEEMS_DONE = (4, 24, 28, 47)  # PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT
_PR_SET_KEEPCAPS = 8
# FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR (linux/fs.h) change a layer's file through a descriptor open for reading;
# TIOCSTI (asm-generic/ioctls.h) types into a terminal
_IOCTL_REFUSED = (0x40086602, 0x401C5820, 0x5412)
_SO_PEERCRED = 17  # asm-generic/socket.h


@functools.lru_cache
def build(arch: Architecture, traced: tuple[str, ...], *, guard_descriptors: bool) -> bytes:
    """The program for calls ``traced`` by handlers. ``guard_descriptors``: a descriptor open for reading may be of a
    layer's file or on a read-only mount, so that changing its times must be seen too."""
    builder = FilterBuilder(arch)
    for name in _DENIED:
        builder.add(name, answer(errno.EPERM))
    for name in _MISSING:
        builder.add(name, answer(errno.ENOSYS))
    for name in traced:
        builder.add(name, TRACE)
    builder.add(
        "clone", TRACE if "clone" in traced else ALLOW, Case(0, _NEW_NAMESPACES, answer(errno.EPERM), bits=True)
    )
    # A process that makes itself undumpable (ssh-agent) closes its /proc/PID to us: it only seems to be done.
    builder.add(
        "prctl", ALLOW, *(Case(0, option, answer(0)) for option in _PRCTL_SEEMS_DONE), Case(0, _PR_SET_KEEPCAPS, TRACE)
    )
    builder.add("ioctl", ALLOW, *(Case(1, request, answer(errno.EPERM)) for request in _IOCTL_REFUSED))
    if not guard_descriptors:
        builder.add("utimensat", TRACE, Case(1, 0, ALLOW, wide=True))  # futimens: no path
    if "sendto" in traced:
        builder.add("sendto", TRACE, Case(4, 0, ALLOW, wide=True))
    if "recvfrom" in traced:
        builder.add("recvfrom", TRACE, Case(4, 0, ALLOW, wide=True))
    if "getsockopt" in traced:
        builder.add("getsockopt", ALLOW, Case(2, _SO_PEERCRED, TRACE))
    return builder.build()
