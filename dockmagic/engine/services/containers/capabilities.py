"""Linux capabilities by name: what --cap-add and --cap-drop make of the default set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dockmagic.errors import InvalidParameter
from dockmagic.runtime.spec import DEFAULT_CAPABILITIES

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
ALL = tuple(f"CAP_{name}" for name in _NAMES.split())
"""linux/capability.h, in its order."""


def checked(names: Iterable[str], parameter: str) -> list[str]:
    """The names with their prefix, upper case. Raises InvalidParameter for one there is not."""
    result = []
    for name in names:
        full = name.upper() if name.upper().startswith("CAP_") or name.upper() == "ALL" else f"CAP_{name.upper()}"
        if full in {"ALL", "CAP_ALL"}:
            full = "ALL"
        elif full not in ALL:
            raise InvalidParameter(f'invalid {parameter}: unknown capability: "{full}"')
        result.append(full)
    return result


def effective(add: Sequence[str] | None, drop: Sequence[str] | None, *, privileged: bool) -> tuple[str, ...]:
    """The set a container gets (moby, oci/caps: TweakCapabilities)."""
    if privileged:
        return ALL
    added, dropped = set(checked(add or (), "CapAdd")), set(checked(drop or (), "CapDrop"))
    if "ALL" in added:
        return tuple(name for name in ALL if name not in dropped)
    base: set[str] = set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES) - dropped
    return tuple(name for name in ALL if name in base | added)
