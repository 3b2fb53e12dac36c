"""The system call filters of a container: Docker's default profile, and the emulation of root with one id.

Docker's profile (moby, profiles/seccomp/default.json) lists what is allowed. Here is the complement, which is far
shorter and says what it is for: of the calls known when this was written (up to :data:`_LAST`) all are allowed but
those below; newer ones don't exist (ENOSYS), so that programs fall back to older ones.
"""

from __future__ import annotations

import errno
import functools
import platform

from dockmagic.runtime.namespaces import bpf, capabilities, owners
from dockmagic.runtime.spec import Spec

_LAST = 462  # mseal, Linux 6.10

_NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEWNS, -CGROUP, -UTS, -IPC, -USER, -PID, -NET"""
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, with UNAME26, and the question for the current one"""
_AF_VSOCK = 40

_TABLE = """
CAP_BPF|CAP_SYS_ADMIN        bpf 321 357 280
CAP_DAC_READ_SEARCH          open_by_handle_at 304 342 265
CAP_PERFMON|CAP_SYS_ADMIN    perf_event_open 298 336 241
CAP_SYS_ADMIN                clone3 435 435 435, fanotify_init 300 338 262, fsconfig 431 431 431, fsmount 432 432 432
CAP_SYS_ADMIN                fsopen 430 430 430, fspick 433 433 433, lookup_dcookie 212 253 18, mount 165 21 40
CAP_SYS_ADMIN                mount_setattr 442 442 442, move_mount 429 429 429, open_tree 428 428 428
CAP_SYS_ADMIN                quotactl 179 131 60, quotactl_fd 443 443 443, setdomainname 171 121 162
CAP_SYS_ADMIN                sethostname 170 74 161, setns 308 346 268, umount - 22 -, umount2 166 52 39
CAP_SYS_ADMIN                unshare 272 310 97, clone 56 120 220
CAP_SYS_BOOT                 reboot 169 88 142
CAP_SYS_CHROOT               chroot 161 61 51
CAP_SYS_MODULE               delete_module 176 129 106, finit_module 313 350 273, init_module 175 128 105
CAP_SYS_NICE                 get_mempolicy 239 275 236, mbind 237 274 235, set_mempolicy 238 276 237
CAP_SYS_NICE                 set_mempolicy_home_node 450 450 450
CAP_SYS_PACCT                acct 163 51 89
CAP_SYS_PTRACE               kcmp 312 349 272, pidfd_getfd 438 438 438, process_madvise 440 440 440
CAP_SYS_RAWIO                ioperm 173 101 -, iopl 172 110 -
CAP_SYS_TIME                 clock_settime 227 264 112, clock_settime64 - 404 -, settimeofday 164 79 170, stime - 25 -
CAP_SYS_TTY_CONFIG           vhangup 153 111 58
CAP_SYSLOG                   syslog 103 103 116
-                            add_key 248 286 217, afs_syscall 183 137 -, create_module 174 127 -
-                            get_kernel_syms 177 130 -, getpmsg 181 188 -, io_uring_enter 426 426 426
-                            io_uring_register 427 427 427, io_uring_setup 425 425 425, kexec_file_load 320 - 294
-                            kexec_load 246 283 104, keyctl 250 288 219, migrate_pages 256 294 238
-                            move_pages 279 317 239, nfsservctl 180 169 42, personality 135 136 92
-                            pivot_root 155 217 41, putpmsg 182 189 -, query_module 178 167 -
-                            request_key 249 287 218, security 185 - -, socket 41 359 198, swapoff 168 115 225
-                            swapon 167 87 224, sysfs 139 135 -, _sysctl 156 149 -, tuxcall 184 - -
-                            uselib 134 86 -, userfaultfd 323 374 282, ustat 136 62 -, vm86 - 166 -, vm86old - 113 -
-                            vserver 236 273 -
"""
"""The capabilities any of which opens a call, and calls: name, number on x86_64, i386, aarch64."""

_ROOT_ONLY = """
chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54, setuid 105 146, setgid 106 144, setreuid 113 145,
setregid 114 143, setgroups 116 159, setresuid 117 147, setresgid 119 149, setfsuid 122 151, setfsgid 123 152,
setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7
"""
"""Calls that only a root with more than one id can make: name, number on x86_64, aarch64."""
_CHARACTER, _BLOCK, _KIND = 0o020000, 0o060000, 0o170000


def program(spec: Spec, allowed: int) -> bytes | None:
    """The default profile for this Spec with the capabilities ``allowed``; None when it is to have none."""
    if not supported() or spec.privileged or spec.seccomp != "default":
        return None
    return default_profile(allowed)


def supported() -> bool:
    """Whether this machine's call numbers are known here."""
    return platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64")


@functools.cache
def default_profile(allowed: int) -> bytes:
    """Docker's default profile for a container with the capabilities ``allowed``."""
    architectures = (bpf.AUDIT_X86_64, bpf.AUDIT_I386, bpf.AUDIT_AARCH64)
    rules: dict[int, dict[int, bpf.Block]] = {architecture: {} for architecture in architectures}
    for line in _TABLE.strip().splitlines():
        opening, _, calls = line.partition(" ")
        if any(allowed >> capabilities.number(name) & 1 for name in opening.split("|") if name != "-"):
            continue
        for call in calls.split(","):
            name, *numbers = call.split()
            for architecture, number in zip(architectures, numbers, strict=True):
                if number != "-":
                    rules[architecture][int(number)] = _refusal(name)
    if platform.machine() in ("aarch64", "arm64"):
        rules = {bpf.AUDIT_AARCH64: rules[bpf.AUDIT_AARCH64]}
    else:
        del rules[bpf.AUDIT_AARCH64]
    return bpf.program(rules, last=_LAST, foreign=bpf.errno(errno.ENOSYS))


def _refusal(name: str) -> bpf.Block:
    refused = bpf.errno(errno.EPERM)
    if name == "clone":
        return bpf.by_bits(0, _NAMESPACE_FLAGS, refused, bpf.ALLOW)
    if name == "clone3":  # its flags are in memory, where a filter can't look: libc falls back to clone
        return bpf.always(bpf.errno(errno.ENOSYS))
    if name == "personality":
        return bpf.by_value(0, _PERSONALITIES, bpf.ALLOW, refused)
    if name == "socket":
        return bpf.by_value(0, (_AF_VSOCK,), refused, bpf.ALLOW)
    return bpf.always(refused)


@functools.cache
def pretend_root(*, asks: bool) -> bytes:
    """With one id mapped: answer success to what only a root with all ids can do, and do nothing.

    Changes of owner and of identity, device nodes, and extended attributes (packages set security.capability). With
    ``asks`` what can be remembered (owners.py) is asked about instead.
    """
    success = bpf.errno(0)
    both: tuple[dict[int, bpf.Block], dict[int, bpf.Block]] = ({}, {})
    for call in _ROOT_ONLY.split(","):
        _name, *numbers = call.split()
        for calls, text in zip(both, numbers, strict=True):
            if text != "-":
                calls[int(text)] = bpf.always(success)
    if asks:
        for pair in owners.CALLS.values():
            for calls, number in zip(both, pair, strict=True):
                if number is not None:
                    calls[number] = bpf.always(bpf.ASK)
    device = bpf.ASK if asks else success
    x86_64, aarch64 = both
    x86_64[133] = bpf.by_masked_value(1, _KIND, (_CHARACTER, _BLOCK), device, bpf.ALLOW)  # mknod
    x86_64[259] = bpf.by_masked_value(2, _KIND, (_CHARACTER, _BLOCK), device, bpf.ALLOW)  # mknodat
    aarch64[33] = x86_64[259]
    return bpf.program({bpf.AUDIT_X86_64: x86_64, bpf.AUDIT_AARCH64: aarch64}, last=None, foreign=bpf.ALLOW)
