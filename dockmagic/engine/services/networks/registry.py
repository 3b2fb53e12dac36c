"""All networks: found, listed, made and removed; each change is one transaction."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dockmagic.database import Database
from dockmagic.engine import clock
from dockmagic.engine.filters import Filters, boolean, check, exact, excluded_by_label, labels_match, matches
from dockmagic.engine.ids import new_id
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.events import Events
from dockmagic.engine.services.networks.record import PREDEFINED, Network
from dockmagic.errors import Conflict, Forbidden, InvalidParameter, NotFound, NotImplementedByEngine

if TYPE_CHECKING:
    from dockmagic.runtime.networks.service import Networks as Fabric

_MIGRATIONS = ("CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL, record TEXT NOT NULL)",)
_FILTERS = {"dangling", "driver", "id", "label", "name", "scope", "type"}
_BRIDGE_OPTIONS = {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.driver.mtu": "1500",
}
Used = Callable[[Network], bool]


class NetworkRegistry:
    """The networks of this root. ``fabric`` makes them in the kernel; it is asked for when first needed."""

    def __init__(self, database: Database, events: Events, fabric: Callable[[], Fabric]) -> None:
        database.migrate("networks", _MIGRATIONS)
        self._database = database
        self._events = events
        self._fabric = fabric
        self._lock = threading.RLock()
        self._known: dict[str, Network] = {}
        self._raised: set[str] = set()
        for row in database.query("SELECT record FROM networks"):
            network = Network(**json.loads(row["record"]))
            self._known[network.id] = network
        present = {network.name for network in self._known.values()}
        for name in PREDEFINED:
            if name not in present:
                self._keep(Network(new_id(), name, "null" if name == "none" else name, clock.now()))

    def get(self, reference: str) -> Network:
        """By name, id, or an id's unique beginning. Raises NotFound, InvalidParameter."""
        with self._lock:
            for network in self._known.values():
                if reference in {network.id, network.name}:
                    return self._with_subnet(network)
            found = [n for n in self._known.values() if reference and n.id.startswith(reference)]
        if len(found) > 1:
            raise InvalidParameter(f"network {reference} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise NotFound(f"network {reference} not found")
        return self._with_subnet(found[0])

    def matching(self, filters: Filters, used: Used) -> list[Network]:
        """The networks the filters let through."""
        check(filters, _FILTERS)
        dangling = boolean(filters, "dangling")
        for kind in filters.get("type", ()):
            if kind not in {"builtin", "custom"}:
                raise InvalidParameter(f"invalid filter: 'type'='{kind}'")
        with self._lock:
            known = [self._with_subnet(network) for network in self._known.values()]
        return [
            network
            for network in known
            if matches(filters, "name", network.name)
            and matches(filters, "id", network.id)
            and exact(filters, "driver", network.driver)
            and exact(filters, "scope", "local")
            and exact(filters, "type", "custom" if network.custom else "builtin")
            and labels_match(filters, network.labels)
            and (dangling is None or dangling is (network.custom and not used(network)))
        ]

    def create(self, asked: Mapping[str, Any]) -> Network:
        """Raises InvalidParameter, Conflict, Forbidden, NotFound (driver), NotImplementedByEngine."""
        name = asked.get("Name") or ""
        if not name.strip():
            raise InvalidParameter("invalid network name: name is empty")
        if name in {*PREDEFINED, "default"}:
            raise Forbidden(f"operation is not permitted on predefined {name} network")
        driver = asked.get("Driver") or "bridge"
        if driver in {"host", "null"}:
            raise Forbidden(f'only one instance of "{driver}" network is allowed')
        if driver != "bridge":
            raise NotFound(f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found')
        if asked.get("EnableIPv4") is False:
            raise InvalidParameter("IPv4 can only be disabled if experimental features are enabled")
        if self._fabric().refusal:
            raise NotImplementedByEngine(f"networks can't be made here: {self._fabric().refusal}")
        with self._lock:
            if any(network.name == name for network in self._known.values()):
                raise Conflict(f"network with name {name} already exists")
            ipam = dict(asked.get("IPAM") or {})
            network = Network(
                new_id(),
                name,
                "bridge",
                clock.now(),
                internal=bool(asked.get("Internal")),
                attachable=bool(asked.get("Attachable")),
                ipv6=bool(asked.get("EnableIPv6")),
                ipam={
                    "Driver": ipam.get("Driver") or "default",
                    "Options": ipam.get("Options"),
                    "Config": self._pools(ipam.get("Config") or []),
                },
                options=dict(asked.get("Options") or {}),
                labels=dict(asked.get("Labels") or {}),
                chosen=not ipam.get("Config"),
            )
            self.ensure(network)
            self._keep(network)
        self._tell("create", network)
        return network

    def remove(self, reference: str, members: Sequence[Container]) -> None:
        """Raises NotFound, Forbidden (predefined or in use)."""
        network = self.get(reference)
        if not network.custom:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        if members:
            names = ", ".join(f'name:"{c.name}" id:"{c.id[:12]}"' for c in members)
            raise Forbidden(
                f"error while removing network: network {network.name} id {network.id} has active endpoints ({names})"
            )
        with self._lock:
            with self._database.transaction() as tx:
                tx.execute("DELETE FROM networks WHERE id = ?", (network.id,))
            del self._known[network.id]
            self._raised.discard(network.id)
            self._fabric().remove(network.id)
        self._tell("destroy", network)

    def prune(self, filters: Filters, used: Used) -> list[str]:
        """Remove the networks of users' that nothing is on; their names."""
        check(filters, {"label", "label!", "until"})
        until = clock.parse_moment(filters["until"][0], "until") if filters.get("until") else 0
        removed = []
        for network in self.matching({"type": ["custom"]}, used):
            if used(network) or not labels_match(filters, network.labels) or excluded_by_label(filters, network.labels):
                continue
            if until and clock.parse(network.created) > until:
                continue
            self.remove(network.id, ())
            removed.append(network.name)
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return removed

    def ensure(self, network: Network) -> None:
        """See to it that the network is there in the kernel. Raises DockmagicError."""
        with self._lock:
            if network.id in self._raised or not network.bridged:
                return
            self._choose_again(network)
            pairs = tuple((str(pool.subnet), pool.gateway) for pool in network.pools())
            masquerade = network.options.get("com.docker.network.bridge.enable_ip_masquerade", "true") == "true"
            mtu = network.options.get("com.docker.network.driver.mtu", "")
            self._fabric().create(
                network.id,
                pairs,
                internal=network.internal,
                masquerade=masquerade,
                mtu=int(mtu) if mtu.isdecimal() and network.custom else 0,
            )
            self._raised.add(network.id)

    def _choose_again(self, network: Network) -> None:
        """Give a network that is not there yet another subnet, if somebody else's interface has its own by now."""
        fabric = self._fabric()
        if not network.chosen or fabric.shared or self._there(network):
            return
        mine = [pool.subnet for pool in network.pools()]
        if any(one.version == other.version and one.overlaps(other) for one in mine for other in fabric.routes()):
            network.ipam["Config"] = self._pools([])
            self._keep(network)

    def adopt(self) -> None:
        """Know the bridges that a killed engine left, so that they are used again, or taken away at the end."""
        with self._lock:
            for network in self._known.values():
                if network.bridged and network.ipam["Config"] and self._there(network):
                    self.ensure(network)

    def _there(self, network: Network) -> bool:
        return os.path.exists(f"/sys/class/net/{self._fabric().bridge_of(network.id)}")

    def lower_all(self) -> None:
        """Nothing runs any more: take from the kernel what was made there. The records stay."""
        with self._lock:
            for id in self._raised:
                self._fabric().remove(id)
            if self._raised:
                self._fabric().close()
            self._raised.clear()

    # --- small helps ---

    def _with_subnet(self, network: Network) -> Network:
        """The default bridge gets its subnet when it is first looked at."""
        if network.name == "bridge" and not network.ipam["Config"] and not self._fabric().refusal:
            network.ipam["Config"] = self._pools([])
            network.chosen = True
            network.options = dict(_BRIDGE_OPTIONS)
            self._keep(network)
        return network

    def _pools(self, asked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        import ipaddress

        from dockmagic.runtime.networks.addresses import choose_subnet, default_gateway

        own = [pool.subnet for network in self._known.values() for pool in network.pools()]
        found = []
        for item in asked:
            if item.get("Subnet"):
                found.append(_checked(item, own))
        if not any(ipaddress.ip_network(item["Subnet"]).version == 4 for item in found):
            subnet = choose_subnet([*own, *self._fabric().routes()])
            found.insert(0, {"Subnet": str(subnet), "Gateway": default_gateway(subnet)})
        return found

    def _keep(self, network: Network) -> None:
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO networks VALUES (?, ?, ?)",
                (network.id, network.name, json.dumps(vars(network))),
            )
        self._known[network.id] = network

    def _tell(self, action: str, network: Network) -> None:
        self._events.publish("network", action, network.id, {"name": network.name, "type": network.driver})


def _checked(item: Mapping[str, Any], own: Sequence[Any]) -> dict[str, Any]:
    """One IPAM config of a request. Raises InvalidParameter, Forbidden."""
    import ipaddress

    from dockmagic.runtime.networks.addresses import default_gateway

    try:
        subnet = ipaddress.ip_network(item["Subnet"], strict=False)
    except ValueError:
        raise InvalidParameter(f"invalid subnet {item['Subnet']}: invalid CIDR address: {item['Subnet']}") from None
    if any(subnet.version == other.version and subnet.overlaps(other) for other in own):
        raise Forbidden("Pool overlaps with other one on this address space")
    gateway = item.get("Gateway") or default_gateway(subnet)
    try:
        if ipaddress.ip_address(gateway) not in subnet:
            raise InvalidParameter(f"invalid gateway {gateway}: parent subnet is {subnet}")
        result = {"Subnet": str(subnet), "Gateway": gateway}
        if item.get("IPRange"):
            within = ipaddress.ip_network(item["IPRange"], strict=False)
            if within.version != subnet.version or not within.subnet_of(subnet):  # type: ignore[arg-type]
                raise InvalidParameter(f"invalid ip-range {item['IPRange']}: parent subnet is {subnet}")
            result["IPRange"] = item["IPRange"]
    except ValueError as error:
        raise InvalidParameter(f"invalid IPAM configuration: {error}") from None
    if item.get("AuxiliaryAddresses"):
        result["AuxiliaryAddresses"] = item["AuxiliaryAddresses"]
    return result
