"""Networks: the three that are always there, those users make, and who is on them."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dockmagic.database import Database
from dockmagic.engine import clock
from dockmagic.engine.filters import Filters, boolean, check, exact, excluded_by_label, labels_match, matches
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.events import Events
from dockmagic.errors import Conflict, Forbidden, InvalidParameter, NotFound, NotImplementedByEngine

_MIGRATIONS = ("CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL, record TEXT NOT NULL)",)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_FILTERS = {"dangling", "driver", "id", "label", "name", "scope", "type"}
PREDEFINED = ("bridge", "host", "none")


@dataclass
class Network:
    """One network, with the fields of the API's Network."""

    id: str
    name: str
    driver: str
    created: str
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    ipam: dict[str, Any] = field(default_factory=lambda: {"Driver": "default", "Options": None, "Config": []})
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def shape(self, containers: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "Name": self.name,
            "Id": self.id,
            "Created": self.created,
            "Scope": "local",
            "Driver": self.driver,
            "EnableIPv6": self.ipv6,
            "IPAM": self.ipam,
            "Internal": self.internal,
            "Attachable": self.attachable,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": dict(containers or {}),
            "Options": self.options,
            "Labels": self.labels,
        }


@dataclass(frozen=True)
class Names:
    """What a container's /etc/hosts and resolv.conf say: its own addresses, others', the name server's."""

    own: Sequence[str] = ()
    others: Sequence[tuple[str, str]] = ()
    resolver: str = ""


class Networks:
    """All networks of this root. ``containers`` gives the containers, for who is on a network."""

    def __init__(self, database: Database, events: Events, find: Callable[[str], Container]) -> None:
        database.migrate("networks", _MIGRATIONS)
        self._database = database
        self._events = events
        self._find = find
        self._lock = threading.RLock()
        self._known: dict[str, Network] = {}
        for row in database.query("SELECT record FROM networks"):
            network = Network(**json.loads(row["record"]))
            self._known[network.id] = network
        present = {network.name for network in self._known.values()}
        for name in PREDEFINED:
            if name not in present:
                self._keep(Network(secrets.token_hex(32), name, "null" if name == "none" else name, clock.now()))

    # --- what users make ---

    def get(self, reference: str) -> Network:
        """By name, id, or an id's unique beginning. Raises NotFound."""
        with self._lock:
            for network in self._known.values():
                if reference in {network.id, network.name}:
                    return network
            found = [n for n in self._known.values() if reference and n.id.startswith(reference)]
        if len(found) > 1:
            raise InvalidParameter(f"network {reference} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise NotFound(f"network {reference} not found")
        return found[0]

    def matching(self, filters: Filters, used: Callable[[Network], bool]) -> list[Network]:
        """The networks the filters let through."""
        check(filters, _FILTERS)
        dangling = boolean(filters, "dangling")
        for kind in filters.get("type", ()):
            if kind not in {"builtin", "custom"}:
                raise InvalidParameter(f"invalid filter: 'type'='{kind}'")
        with self._lock:
            known = list(self._known.values())
        return [
            network
            for network in known
            if matches(filters, "name", network.name)
            and matches(filters, "id", network.id)
            and exact(filters, "driver", network.driver)
            and exact(filters, "scope", "local")
            and exact(filters, "type", "builtin" if network.name in PREDEFINED else "custom")
            and labels_match(filters, network.labels)
            and (dangling is None or dangling is (network.name not in PREDEFINED and not used(network)))
        ]

    def create(self, asked: Mapping[str, Any]) -> Network:
        """Raises InvalidParameter, Conflict, Forbidden, NotFound (driver), NotImplementedByEngine."""
        name = asked.get("Name") or ""
        if not name:
            raise InvalidParameter("invalid network name: name is empty")
        if name in {*PREDEFINED, "default"}:
            raise Forbidden(f"operation is not permitted on predefined {name} network")
        if not _NAME.fullmatch(name):
            raise InvalidParameter(
                f"invalid network name: {name}: must match the pattern '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$'"
            )
        driver = asked.get("Driver") or "bridge"
        if driver in {"host", "null"}:
            raise Forbidden(f'only one instance of "{driver}" network is allowed')
        if driver != "bridge":
            raise NotFound(f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found')
        raise NotImplementedByEngine(
            "networks of one's own are not there yet in this tier: containers share the host's"
        )

    def remove(self, reference: str, members: Sequence[Container]) -> None:
        """Raises NotFound, Forbidden (predefined or in use)."""
        network = self.get(reference)
        if network.name in PREDEFINED:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        if members:
            names = ", ".join(f'name:"{c.name}" id:"{c.id[:12]}"' for c in members)
            raise Forbidden(f"error while removing network: network {network.name} has active endpoints ({names})")
        with self._lock:
            with self._database.transaction() as tx:
                tx.execute("DELETE FROM networks WHERE id = ?", (network.id,))
            del self._known[network.id]
        self._events.publish("network", "destroy", network.id, {"name": network.name, "type": network.driver})

    def prune(self, filters: Filters, used: Callable[[Network], bool]) -> list[str]:
        """Remove the networks of users' that nothing is on; their names."""
        check(filters, {"label", "label!", "until"})
        removed = []
        for network in self.matching({"type": ["custom"]}, used):
            if used(network) or not labels_match(filters, network.labels) or excluded_by_label(filters, network.labels):
                continue
            self.remove(network.id, ())
            removed.append(network.name)
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return removed

    def connect(self, reference: str, container: Container, endpoint: Mapping[str, Any]) -> None:
        """Raises NotFound, Forbidden, Conflict."""
        network = self.get(reference)
        if network.driver == "host" or "host" in container.record.endpoints:
            raise Forbidden("container cannot be disconnected from host network or connected to host network")
        raise NotImplementedByEngine("a container can't be connected to another network in this tier yet")

    def disconnect(self, reference: str, container: Container, *, force: bool) -> None:
        """Raises NotFound, Forbidden, Conflict."""
        network = self.get(reference)
        if network.driver == "host":
            raise Forbidden("container cannot be disconnected from host network or connected to host network")
        if network.name not in container.record.endpoints:
            raise Forbidden(f"container {container.id} is not connected to network {network.name}")
        raise NotImplementedByEngine("a container can't be disconnected from its network in this tier yet")

    # --- a container's life on its networks ---

    def plan(self, host: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The endpoints a new container will have. Raises NotFound when it joins a container that is not there."""
        mode = host["NetworkMode"]
        if mode.startswith("container:"):
            self._find(mode.partition(":")[2])
            return {}
        wanted = "none" if mode == "none" else "host" if mode in {"default", "bridge"} else mode
        try:
            network = self.get(wanted)
        except NotFound:  # told when it starts: clients take a 404 of create for a missing image
            return {wanted: dict(_EMPTY_ENDPOINT)}
        return {network.name: {**_EMPTY_ENDPOINT, "NetworkID": network.id}}

    def enter(self, container: Container) -> str:
        """The Spec's network for a container that is about to start. Raises Conflict."""
        mode = container.record.host_config["NetworkMode"]
        if mode.startswith("container:"):
            other = self._find(mode.partition(":")[2])
            if not other.record.pid:
                raise Conflict(f"cannot join network of a non running container: {other.id}")
            return f"ns:/proc/{other.record.pid}/ns/net"
        for name, endpoint in container.record.endpoints.items():
            network = self.get(name)
            endpoint["EndpointID"] = secrets.token_hex(32)
            endpoint["NetworkID"] = network.id
            self._tell("connect", network, container)
        return "none" if mode == "none" else "host"

    def leave(self, container: Container) -> None:
        """The container has ended."""
        for name, endpoint in container.record.endpoints.items():
            if endpoint.get("EndpointID"):
                endpoint["EndpointID"] = ""
                self._tell("disconnect", self.get(name), container)

    def names_for(self, container: Container) -> Names:
        """What the container's /etc/hosts should say."""
        mode = container.record.host_config["NetworkMode"]
        return Names() if mode in {"host", "none"} else Names(own=("127.0.1.1",))

    def _tell(self, action: str, network: Network, container: Container) -> None:
        attributes = {"container": container.id, "name": network.name, "type": network.driver}
        self._events.publish("network", action, network.id, attributes)

    def _keep(self, network: Network) -> None:
        with self._database.transaction() as tx:
            tx.execute("INSERT INTO networks VALUES (?, ?, ?)", (network.id, network.name, json.dumps(vars(network))))
        self._known[network.id] = network


_EMPTY_ENDPOINT: dict[str, Any] = {
    "IPAMConfig": None, "Links": None, "Aliases": None, "MacAddress": "", "DriverOpts": None, "NetworkID": "",
    "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0, "DNSNames": None,
}  # fmt: skip
