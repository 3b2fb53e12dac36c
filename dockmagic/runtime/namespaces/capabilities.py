"""Linux capabilities: names, and giving up those a container doesn't get."""

from __future__ import annotations

from collections.abc import Iterable

from dockmagic.runtime import libc

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the order of linux/capability.h: the position is the number."""

_NUMBERS = {f"CAP_{name}": number for number, name in enumerate(NAMES)}


def number(name: str) -> int:
    return _NUMBERS[name]


def mask_of(names: Iterable[str]) -> int:
    """Names this kernel's list doesn't have are left out."""
    return sum(1 << _NUMBERS[name] for name in set(names) if name in _NUMBERS)


def effective(pid: str = "self") -> int:
    """The effective set of a process, a mask."""
    return _field(pid, "CapEff")


def _field(pid: str, name: str) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1], 16)
    return 0


def last() -> int:
    """The highest capability this kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return int(file.read())


def bound(allowed: int, highest: int) -> None:
    """Drop from the bounding set what is not in ``allowed``: nothing executed later can get it back."""
    for number in range(highest + 1):
        if not allowed >> number & 1:
            libc.prctl(libc.PR_CAPBSET_DROP, number)


def limit(allowed: int) -> None:
    """Keep only ``allowed`` (all of them held now), nothing inheritable or ambient, as dockerd since 20.10.14."""
    libc.capset(allowed, allowed, 0)
    try:
        libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError:
        pass  # before Linux 4.3 there are none
