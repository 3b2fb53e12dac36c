"""docker update: limits and the restart policy of a container that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockmagic.engine.services.containers import hostconfig
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.events import Events
from dockmagic.errors import Conflict

_FIELDS = {
    "BlkioWeight", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus",
    "CpusetMems", "Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "PidsLimit",
}  # fmt: skip


class Updater:
    """Changes what may change while a container lives."""

    def __init__(self, registry: ContainerRegistry, events: Events) -> None:
        self._registry = registry
        self._events = events

    def update(self, container: Container, asked: Mapping[str, Any]) -> list[str]:
        """The warnings. Raises InvalidParameter, Conflict."""
        changes = {name: value for name, value in asked.items() if name in _FIELDS and value not in (None, 0, "")}
        policy = asked.get("RestartPolicy") or {}
        if policy.get("Name"):
            changes["RestartPolicy"] = policy
        with container.lock:
            if container.removing:
                raise Conflict(f"Container {container.id} is marked for removal and cannot be updated")
            before = container.record.host_config
            merged, warnings = hostconfig.completed({**before, **changes})
            container.record.host_config = merged
            self._registry.save(container)
            limits = [name for name in changes if name != "RestartPolicy"]
            if container.process is not None and limits:
                warnings.append("The new limits take effect when the container is started again.")
        self._events.publish("container", "update", container.id, container.attributes())
        return warnings
