"""x86_64: call numbers, registers and layouts."""

from __future__ import annotations

from dockmagic.runtime.tracer.arch import Architecture, StatLayout

NUMBERS = {
    "open": 2, "stat": 4, "fstat": 5, "lstat": 6, "mmap": 9, "munmap": 11, "ioctl": 16, "access": 21, "socket": 41,
    "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "bind": 49,
    "listen": 50, "getsockname": 51, "getpeername": 52, "getsockopt": 55, "clone": 56, "fork": 57, "vfork": 58,
    "execve": 59, "kill": 62, "uname": 63, "truncate": 76, "getcwd": 79, "chdir": 80, "fchdir": 81, "rename": 82,
    "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "readlink": 89, "chmod": 90,
    "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "umask": 95, "ptrace": 101, "getuid": 102, "syslog": 103,
    "getgid": 104, "setuid": 105, "setgid": 106, "geteuid": 107, "getegid": 108, "setreuid": 113, "setregid": 114,
    "getgroups": 115, "setgroups": 116, "setresuid": 117, "getresuid": 118, "setresgid": 119, "getresgid": 120,
    "setfsuid": 122, "setfsgid": 123, "capget": 125, "capset": 126, "rt_sigqueueinfo": 129, "utime": 132,
    "mknod": 133, "statfs": 137, "vhangup": 153, "pivot_root": 155, "prctl": 157, "adjtimex": 159, "chroot": 161,
    "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "getxattr": 191, "lgetxattr": 192,
    "fgetxattr": 193, "listxattr": 194, "llistxattr": 195, "flistxattr": 196, "removexattr": 197,
    "lremovexattr": 198, "fremovexattr": 199, "tkill": 200, "lookup_dcookie": 212, "clock_settime": 227,
    "tgkill": 234, "utimes": 235, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "inotify_add_watch": 254, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "futimesat": 261,
    "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "readlinkat": 267,
    "fchmodat": 268, "faccessat": 269, "unshare": 272, "utimensat": 280, "accept4": 288, "rt_tgsigqueueinfo": 297,
    "perf_event_open": 298, "recvmmsg": 299, "fanotify_init": 300, "fanotify_mark": 301, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "clock_adjtime": 305, "sendmmsg": 307, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "finit_module": 313, "renameat2": 316, "kexec_file_load": 320, "bpf": 321,
    "execveat": 322, "userfaultfd": 323, "statx": 332, "pidfd_send_signal": 424, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "openat2": 437, "faccessat2": 439,
    "mount_setattr": 442, "quotactl_fd": 443, "fchmodat2": 452, "statmount": 457, "listmount": 458,
    "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467,
    "file_getattr": 468, "file_setattr": 469,
}  # fmt: skip
"""asm/unistd_64.h of Linux 6.1 to 6.17, only the calls the tracer treats."""

ARCHITECTURE = Architecture(
    name="x86_64",
    elf_machine=62,  # EM_X86_64, linux/elf-em.h
    audit=0xC000003E,  # AUDIT_ARCH_X86_64, linux/audit.h
    foreign_bit=0x40000000,  # __X32_SYSCALL_BIT, asm/unistd.h
    numbers=NUMBERS,
    # struct user_regs_struct, asm/ptrace-abi.h and sys/user.h: r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx
    # rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs
    register_count=27,
    arguments=(14, 13, 12, 7, 9, 8),
    number=15,
    result=10,
    instruction=16,
    stack=19,
    call_size=2,  # the instruction `syscall`
    number_register_set=0,
    # struct stat, asm/stat.h
    stat=StatLayout(size=144, mode=24, uid=28, gid=32, device=40),
)
