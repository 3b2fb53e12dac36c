"""What to run: a frozen description without policy, the same for every tier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
)  # fmt: skip
"""moby's default set (oci/caps/defaults.go)."""

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class User:
    """A resolved user: numbers only. ``home`` is what HOME becomes when the environment has none."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True)
class Mount:
    """Something put over a path of the container before its process starts, in the order given."""

    target: str
    source: str = ""
    """Host path of a bind mount (a folder or a file); empty for tmpfs."""
    kind: Literal["bind", "tmpfs"] = "bind"
    read_only: bool = False
    options: tuple[str, ...] = ()
    """tmpfs: ``size=``, ``mode=``, ``uid=``, ``gid=``, ``exec``; bind: ``rprivate``, ``rslave``, ``rshared``."""


@dataclass(frozen=True)
class Device:
    """A device node of the host's shown in the container."""

    source: str
    target: str
    permissions: str = "rwm"


@dataclass(frozen=True)
class Limits:
    """Limits in the API's units; None means none. Memory in bytes, cpus in CPUs, shm_size in bytes."""

    memory: int | None = None
    memory_swap: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset: str = ""
    pids: int | None = None
    shm_size: int = 64 * 1024 * 1024
    rlimits: tuple[tuple[str, int, int], ...] = ()
    """(name as in ``RLIMIT_NOFILE`` without the prefix and lower case, soft, hard)"""


@dataclass(frozen=True)
class Spec:
    """One container's process. Paths in ``rootfs`` and mounts' sources are the engine's; the rest the container's."""

    id: str
    rootfs: str
    """A folder that is the whole root: a mounted overlay or a clone. Tiers never build it, they only enter it."""
    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    """``KEY=value`` items, complete: PATH, HOSTNAME, TERM and HOME are set by who makes the Spec."""
    cwd: str = "/"
    """Made (with parents, owned by root) when it is missing, as runc does."""
    user: User = User()
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)
    """rows, columns"""
    stdin: bool = False
    """Keep standard input open for attachments; else it is /dev/null."""
    stdin_once: bool = False
    """Close the process's standard input when the first attachment's ends (docker run -i)."""
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    read_only: bool = False
    copy_on_write: bool = False
    """``rootfs`` is a clone whose files are hard links into shared layers: write only after copying up (tracer)."""
    init: bool = False
    """Put a reaper at pid 1 in front of ``args`` (docker run --init)."""
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    privileged: bool = False
    no_new_privileges: bool = False
    seccomp: Literal["default", "unconfined"] = "default"
    masked_paths: tuple[str, ...] = MASKED_PATHS
    readonly_paths: tuple[str, ...] = READONLY_PATHS
    sysctls: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    network: str = "host"
    """``host``, ``none``, ``ns:PATH`` of a network namespace to join (``/proc/PID/ns/net`` or a bound file), or
    ``loopback:127.x.y.z``: the container's own loopback address in the tracer tier (see tracer/network.py)."""
    ipc: str = "private"
    """``private``, ``host``, ``none``, or ``ns:PATH``."""
    pid_mode: str = "private"
    """``private``, ``host``, or ``ns:PATH``."""
    tethered: bool = False
    """It is killed when the engine that started it is gone (a build's step): nobody would ask for it again."""
    log_path: str = ""
    """Where the shim writes docker's json-file log; empty: no log (logging driver none, and exec)."""
    log_max_size: int = 0
    """bytes; 0: no rotation"""
    log_max_files: int = 1
    oom_score_adj: int = 0
    labels: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class Exit:
    """How a process ended. ``code`` as docker gives it: its own, or 128+n for signal n; finished_at in RFC 3339 UTC."""

    code: int
    finished_at: str
    oom_killed: bool = False
    error: str = ""
