"""aarch64: call numbers, registers and layouts."""

from __future__ import annotations

from dockmagic.runtime.tracer.arch import Architecture, StatLayout

NUMBERS = {
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "getxattr": 8, "lgetxattr": 9, "fgetxattr": 10, "listxattr": 11,
    "llistxattr": 12, "flistxattr": 13, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "getcwd": 17,
    "lookup_dcookie": 18, "inotify_add_watch": 27, "ioctl": 29, "mknodat": 33, "mkdirat": 34, "unlinkat": 35,
    "symlinkat": 36, "linkat": 37, "renameat": 38, "umount2": 39, "mount": 40, "pivot_root": 41, "statfs": 43,
    "truncate": 45, "faccessat": 48, "chdir": 49, "fchdir": 50, "chroot": 51, "fchmod": 52, "fchmodat": 53,
    "fchownat": 54, "fchown": 55, "openat": 56, "vhangup": 58, "quotactl": 60, "readlinkat": 78, "newfstatat": 79,
    "fstat": 80, "utimensat": 88, "acct": 89, "capget": 90, "capset": 91, "unshare": 97, "kexec_load": 104,
    "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117, "kill": 129,
    "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "reboot": 142, "setregid": 143, "setgid": 144,
    "setreuid": 145, "setuid": 146, "setresuid": 147, "getresuid": 148, "setresgid": 149, "getresgid": 150,
    "setfsuid": 151, "setfsgid": 152, "getgroups": 158, "setgroups": 159, "uname": 160, "sethostname": 161,
    "setdomainname": 162, "umask": 166, "prctl": 167, "settimeofday": 170, "adjtimex": 171, "getuid": 174,
    "geteuid": 175, "getgid": 176, "getegid": 177, "socket": 198, "bind": 200, "listen": 201, "accept": 202,
    "connect": 203, "getsockname": 204, "getpeername": 205, "sendto": 206, "recvfrom": 207, "getsockopt": 209,
    "sendmsg": 211, "recvmsg": 212, "munmap": 215, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220,
    "execve": 221, "mmap": 222, "swapon": 224, "swapoff": 225, "rt_tgsigqueueinfo": 240, "perf_event_open": 241,
    "accept4": 242, "recvmmsg": 243, "fanotify_init": 262, "fanotify_mark": 263, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268, "sendmmsg": 269, "process_vm_readv": 270,
    "process_vm_writev": 271, "finit_module": 273, "renameat2": 276, "bpf": 280, "execveat": 281, "userfaultfd": 282,
    "statx": 291,
    "kexec_file_load": 294, "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "clone3": 435, "openat2": 437, "faccessat2": 439, "mount_setattr": 442, "quotactl_fd": 443,
    "fchmodat2": 452, "statmount": 457, "listmount": 458, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465,
    "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469,
}  # fmt: skip
"""asm-generic/unistd.h of Linux 6.1 to 6.17, only the calls the tracer treats."""

ARCHITECTURE = Architecture(
    name="aarch64",
    elf_machine=183,  # EM_AARCH64, linux/elf-em.h
    audit=0xC00000B7,  # AUDIT_ARCH_AARCH64, linux/audit.h
    foreign_bit=0,
    numbers=NUMBERS,
    # struct user_pt_regs, asm/ptrace.h: x0 to x30, sp, pc, pstate
    register_count=34,
    arguments=(0, 1, 2, 3, 4, 5),
    number=8,
    result=0,
    instruction=32,
    stack=31,
    call_size=4,  # the instruction `svc #0`
    number_register_set=0x404,  # NT_ARM_SYSTEM_CALL, linux/elf.h: changing x8 alone changes nothing
    # struct stat, asm-generic/stat.h
    stat=StatLayout(size=128, mode=16, uid=24, gid=28, device=32),
)
