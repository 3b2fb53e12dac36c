"""docker ps: which containers, and each in a line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dockmagic.engine import clock
from dockmagic.engine.filters import Filters, boolean, check, exact, labels_match
from dockmagic.engine.services.containers.config import command
from dockmagic.engine.services.containers.inspect import mounts
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.errors import InvalidParameter, NotFound

_FILTERS = {
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
}  # fmt: skip
_STATUSES = ("created", "dead", "exited", "paused", "removing", "restarting", "running")
Ancestry = Callable[[str], "set[str]"]
"""The ids of an image named by the filter ``ancestor`` and of all images made of it."""


class Listing:
    """The answer to GET /containers/json."""

    def __init__(
        self,
        registry: ContainerRegistry,
        ancestry: Ancestry,
        sizes: Callable[[Container], tuple[int, int]],
        linked: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        self._registry = registry
        self._ancestry = ancestry
        self._sizes = sizes
        self._linked = linked
        """The names that links give, by container id."""

    def list(self, *, all: bool, limit: int, size: bool, filters: Filters) -> list[dict[str, Any]]:
        """The containers, newest first, in the API's ContainerSummary shape. Raises InvalidParameter, NotFound."""
        check(filters, _FILTERS)
        accepts = self._acceptor(filters)
        shown = []
        everything = all or limit > 0 or any(name in filters for name in ("status", "exited", "since", "before"))
        linked = self._linked()
        for container in self._registry.all():
            if not everything and not container.running:
                continue
            if accepts(container):
                shown.append(summary(container, self._sizes(container) if size else None, linked.get(container.id, ())))
                if limit > 0 and len(shown) == limit:
                    break
        return shown

    def _acceptor(self, filters: Filters) -> Callable[[Container], bool]:
        for status in filters.get("status", ()):
            if status not in _STATUSES:
                raise InvalidParameter(f"invalid filter 'status={status}'")
        for health in filters.get("health", ()):
            if health not in {"starting", "healthy", "unhealthy", "none"}:
                raise InvalidParameter(f"invalid filter 'health={health}'")
        boolean(filters, "is-task")
        exits = [_exit_code(value) for value in filters.get("exited", ())]
        before = self._created(filters, "before")
        since = self._created(filters, "since")
        images: set[str] = set()
        for name in filters.get("ancestor", ()):
            images |= self._ancestry(name)

        def accepts(container: Container) -> bool:
            record = container.record
            health = container.health.status if container.health else "none"
            return (
                (not before or record.created < before)
                and (not since or record.created > since)
                and (
                    not exits
                    or (record.exit_code in exits and not container.running and record.finished_at != clock.ZERO)
                )
                and exact(filters, "status", record.status)
                and exact(filters, "health", health)
                and _any(filters, "id", record.id.startswith)
                and _any(filters, "name", lambda wanted: _name_matches(wanted, record.name))
                and labels_match(filters, container.labels)
                and ("ancestor" not in filters or record.image_id in images)
                and _any(filters, "volume", lambda wanted: _has_mount(container, wanted))
                and _any(filters, "network", lambda wanted: _on_network(container, wanted))
                and _any(filters, "expose", lambda wanted: _has_port(record.config["ExposedPorts"], wanted))
                and _any(filters, "publish", lambda wanted: _has_port(record.host_config["PortBindings"], wanted))
                and boolean(filters, "is-task") is not True
            )

        return accepts

    def _created(self, filters: Filters, name: str) -> str:
        values = filters.get(name)
        if not values:
            return ""
        try:
            return self._registry.get(values[0]).record.created
        except NotFound:
            raise NotFound(f"No such container: {values[0]}") from None


def summary(container: Container, sizes: tuple[int, int] | None, linked: Sequence[str] = ()) -> dict[str, Any]:
    """One container in the API's ContainerSummary shape.

    ``sizes`` are (written, whole root) in bytes, ``linked`` its names by others' links.
    """
    record = container.record
    shape: dict[str, Any] = {
        "Id": record.id,
        "Names": [f"/{record.name}", *linked],
        "Image": record.config["Image"],
        "ImageID": record.image_id,
        "Command": shown_command(record.config),
        "Created": clock.parse(record.created) // 10**9,
        "Ports": ports(record.endpoints, record.config, container),
        "Labels": dict(container.labels),
        "State": record.status,
        "Status": status(container),
        "HostConfig": {
            "NetworkMode": record.host_config["NetworkMode"],
            **({"Annotations": annotations} if (annotations := record.host_config["Annotations"]) else {}),
        },
        "NetworkSettings": {"Networks": record.endpoints},
        "Mounts": mounts(container),
    }
    if sizes is not None:
        shape["SizeRw"], shape["SizeRootFs"] = sizes
    return shape


def status(container: Container) -> str:
    """``Up 2 seconds``, ``Exited (0) 3 minutes ago``: moby, State.String."""
    record = container.record
    now = time.time_ns()
    if record.status in {"running", "paused"}:
        up = f"Up {clock.human((now - clock.parse(record.started_at)) / 1e9)}"
        if record.status == "paused":
            return f"{up} (Paused)"
        if container.health is None:
            return up
        health = container.health.status
        return f"{up} ({'health: starting' if health == 'starting' else health})"
    if record.status == "restarting":
        ago = clock.human((now - clock.parse(record.finished_at)) / 1e9)
        return f"Restarting ({record.exit_code}) {ago} ago"
    if record.status == "removing":
        return "Removal In Progress"
    if record.status == "created" or record.finished_at == clock.ZERO:
        return "Created"
    return f"Exited ({record.exit_code}) {clock.human((now - clock.parse(record.finished_at)) / 1e9)} ago"


def shown_command(config: Mapping[str, Any]) -> str:
    """The command line, words with a space or nothing in them quoted."""
    return " ".join(f"'{word}'" if not word or " " in word else word for word in command(config))


def ports(endpoints: Mapping[str, Any], config: Mapping[str, Any], container: Container) -> list[dict[str, Any]]:
    """The API's PortSummary list: published ports, and those only exposed."""
    found = []
    published = container.record.published if container.record.pid else {}
    for port in {**(config["ExposedPorts"] or {}), **published}:
        number, _, protocol = port.partition("/")
        bindings = published.get(port) or []
        for binding in bindings:
            public = int(binding["HostPort"])
            entry = {"IP": binding["HostIp"], "PrivatePort": int(number), "PublicPort": public}
            found.append({**entry, "Type": protocol or "tcp"})
        if not bindings and container.running:
            found.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
    return found


def _any(filters: Filters, name: str, test: Callable[[str], bool]) -> bool:
    values = filters.get(name)
    return not values or any(test(value) for value in values)


def _exit_code(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidParameter(f"invalid filter 'exited={value}'") from None


def _name_matches(pattern: str, name: str) -> bool:
    try:
        return bool(re.search(pattern, name) or re.search(pattern, f"/{name}"))
    except re.error:
        return pattern in name


def _has_mount(container: Container, wanted: str) -> bool:
    return any(wanted in {point.name, point.destination, point.source} for point in container.record.mounts)


def _on_network(container: Container, wanted: str) -> bool:
    return any(
        name == wanted or (endpoint.get("NetworkID") or "").startswith(wanted)
        for name, endpoint in container.record.endpoints.items()
    )


def _has_port(known: Mapping[str, Any] | None, wanted: str) -> bool:
    numbers, _, protocol = wanted.partition("/")
    low, _, high = numbers.partition("-")
    try:
        span = range(int(low), int(high or low) + 1)
    except ValueError:
        raise InvalidParameter(f"invalid port: {wanted}") from None
    for port in known or {}:
        number, _, kind = port.partition("/")
        if int(number) in span and (kind or "tcp") == (protocol or "tcp"):
            return True
    return False
