"""docker update: limits and the restart policy of a container that is there, and at once of one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockmagic.engine.services.containers import hostconfig, resources
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.events import Events
from dockmagic.errors import Conflict, DockmagicError
from dockmagic.runtime.protocols import Capability
from dockmagic.runtime.spec import Limits

_FIELDS = {
    "BlkioWeight", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus",
    "CpusetMems", "Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "PidsLimit",
}  # fmt: skip
_EXCLUSIVE = (
    ("NanoCpus", "CpuPeriod", "Nano CPUs cannot be updated as CPU Period has already been set"),
    ("NanoCpus", "CpuQuota", "Nano CPUs cannot be updated as CPU Quota has already been set"),
    ("CpuPeriod", "NanoCpus", "CPU Period cannot be updated as NanoCPUs has already been set"),
    ("CpuQuota", "NanoCpus", "CPU Quota cannot be updated as NanoCPUs has already been set"),
)
"""(asked for, already there, moby's words)"""


class Updater:
    """Changes what may change while a container lives."""

    def __init__(self, registry: ContainerRegistry, events: Events, capability: Capability) -> None:
        self._registry = registry
        self._events = events
        self._capability = capability

    def update(self, container: Container, asked: Mapping[str, Any]) -> list[str]:
        """The warnings. Raises InvalidParameter, Conflict, DockmagicError."""
        limits = {name: value for name, value in asked.items() if name in _FIELDS and value not in (None, 0, "")}
        if asked.get("PidsLimit") == 0:
            limits["PidsLimit"] = -1  # none any more
        policy = asked.get("RestartPolicy") or {}
        changes = {**limits, **({"RestartPolicy": policy} if policy.get("Name") else {})}
        later = []
        with container.lock:
            before = container.record.host_config
            self._check(container, before, changes)
            merged, _ = hostconfig.completed({**before, **changes})
            if container.process is not None:
                wanted = _live(limits, merged)
                if wanted != Limits() and self._capability.tier == "tracer":
                    later = ["The new limits take effect when the container is started again."]
                elif wanted != Limits():
                    try:
                        container.process.update(wanted)
                    except DockmagicError as error:
                        raise DockmagicError(f"Cannot update container {container.id}: {error}") from error
            container.record.host_config = merged
            self._registry.save(container)
        self._events.publish("container", "update", container.id, container.attributes())
        return later + resources.not_kept({**hostconfig.DEFAULTS, **limits}, self._capability)

    def _check(self, container: Container, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        if container.removing:
            raise Conflict(
                f'Cannot update container {container.id}: Container is marked for removal and cannot be "update".'
            )
        if changes.get("RestartPolicy") and before["AutoRemove"]:
            raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
        for name, other, words in _EXCLUSIVE:
            if changes.get(name) and before[other] and other not in changes:
                raise Conflict(f"Cannot update container {container.id}: Conflicting options: {words}")
        if "MemorySwap" not in changes and changes.get("Memory", 0) > before["MemorySwap"]:
            raise Conflict(
                f"Cannot update container {container.id}: Memory limit should be smaller than already set memoryswap "
                "limit, update the memoryswap at the same time"
            )


def _live(changes: Mapping[str, Any], merged: Mapping[str, Any]) -> Limits:
    """What changes for the processes; the rest stays as it is."""
    memory = merged["Memory"] if {"Memory", "MemorySwap"} & changes.keys() else None
    cpus = None
    if "NanoCpus" in changes:
        cpus = merged["NanoCpus"] / 1e9
    elif {"CpuQuota", "CpuPeriod"} & changes.keys() and merged["CpuQuota"] > 0:
        cpus = merged["CpuQuota"] / (merged["CpuPeriod"] or 100_000)
    return Limits(
        memory=memory,
        memory_swap=changes.get("MemorySwap"),
        cpus=cpus,
        cpu_shares=changes.get("CpuShares"),
        cpuset=changes.get("CpusetCpus", ""),
        pids=changes.get("PidsLimit"),
    )
