"""Links between containers (``--link``): what the one that links learns of the other by its environment and hosts file.

A link is kept in the linking container's HostConfig as ``CONTAINER:ALIAS``. The variables are those of moby's
daemon/links, the names those of its hosts file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.errors import Conflict, InvalidParameter, NotFound

_OWN = {"HOME", "PATH"}
"""Variables of the other container that are no news."""


@dataclass(frozen=True)
class Link:
    """``other`` under the name ``alias``."""

    other: Container
    alias: str


def split(text: str) -> tuple[str, str]:
    """(container, alias) of ``db``, ``db:data``, ``/db:/web/data``. Raises InvalidParameter."""
    reference, _, alias = text.removeprefix("/").partition(":")
    alias = (alias or reference).rpartition("/")[2]
    if not reference or not alias:
        raise InvalidParameter(f"bad format for links: {text}")
    return reference, alias


class Links:
    """The links of all containers."""

    def __init__(self, containers: ContainerRegistry) -> None:
        self._containers = containers

    def of(self, container: Container) -> Iterator[Link]:
        """The links of ``container`` whose other ends are there."""
        for text in container.record.host_config["Links"] or ():
            reference, alias = split(text)
            try:
                yield Link(self._containers.get(reference), alias)
            except NotFound:
                continue  # removed: moby forgets the link with it

    def shape(self, container: Container) -> list[str] | None:
        """HostConfig.Links as inspect shows them: ``/db:/web/data``."""
        return [f"/{one.other.name}:/{container.name}/{one.alias}" for one in self.of(container)] or None

    def names(self) -> dict[str, list[str]]:
        """The further names that links give: container id to ``/web/data`` and its like."""
        found: dict[str, list[str]] = {}
        for container in self._containers.all():
            for one in self.of(container):
                found.setdefault(one.other.id, []).append(f"/{container.name}/{one.alias}")
        return found

    def hosts(self, container: Container) -> list[tuple[str, str]]:
        """(address, names) for the hosts file. Raises Conflict when a linked one does not run."""
        found = []
        for one in self.of(container):
            if not one.other.running:
                raise Conflict(
                    f"Cannot link to a non running container: /{one.other.name} AS /{container.name}/{one.alias}"
                )
            address = _address(one.other)
            if address:
                names = dict.fromkeys([one.alias, one.other.record.config["Hostname"], one.other.name])
                found.append((address, " ".join(names)))
        return found

    def environment(self, container: Container) -> list[str]:
        """The variables that tell of the linked ones."""
        return [line for one in self.of(container) for line in _variables(one, container.name)]

    def remove(self, name: str) -> None:
        """Undo the link ``web/data``. Raises InvalidParameter, NotFound."""
        parent, slash, alias = name.removeprefix("/").partition("/")
        if not slash:
            raise InvalidParameter("Conflict, cannot remove the default link name of the container")
        container = self._containers.get(parent)
        with container.lock:
            links = container.record.host_config["Links"] or []
            kept = [text for text in links if split(text)[1] != alias]
            if len(kept) == len(links):
                raise NotFound(f"No such link: {name}")
            container.record.host_config["Links"] = kept or None
            self._containers.save(container)


def _variables(link: Link, parent: str) -> Iterator[str]:
    name = link.alias.replace("-", "_").upper()
    address = _address(link.other)
    exposed = map(_port, link.other.record.config["ExposedPorts"] or ())
    ports = sorted(exposed, key=lambda port: (port[0], port[1] != "tcp"))
    for position, (number, protocol) in enumerate(ports):
        url = f"{protocol}://{address}:{number}"
        prefix = f"{name}_PORT_{number}_{protocol.upper()}"
        if not position:
            yield f"{name}_PORT={url}"
        yield f"{prefix}={url}"
        yield f"{prefix}_ADDR={address}"
        yield f"{prefix}_PORT={number}"
        yield f"{prefix}_PROTO={protocol}"
    for first, last, protocol in _ranges(sorted(ports, key=lambda port: (port[1], port[0]))):
        prefix = f"{name}_PORT_{first}_{protocol.upper()}"
        for end, number in (("START", first), ("END", last)):
            yield f"{prefix}_{end}={protocol}://{address}:{number}"
            yield f"{prefix}_PORT_{end}={number}"
    yield f"{name}_NAME=/{parent}/{link.alias}"
    for item in link.other.record.config["Env"] or ():
        variable, equals, value = item.partition("=")
        if equals and variable not in _OWN:
            yield f"{name}_ENV_{variable}={value}"


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol or "tcp"


def _ranges(ports: list[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """(first, last, protocol) of two and more ports that follow each other."""
    at = 0
    while at < len(ports):
        end = at
        while end + 1 < len(ports) and ports[end + 1] == (ports[end][0] + 1, ports[end][1]):
            end += 1
        if end > at:
            yield ports[at][0], ports[end][0], ports[at][1]
        at = end + 1


def _address(container: Container) -> str:
    if "host" in container.record.endpoints:  # the tier's choice: who links is there too
        return "127.0.0.1"
    return next((e["IPAddress"] for e in container.record.endpoints.values() if e["IPAddress"]), "")
