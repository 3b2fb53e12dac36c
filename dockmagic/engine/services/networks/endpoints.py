"""Containers on networks: what they are asked to join, what they get while they run, their published ports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.engine.ids import new_id
from dockmagic.engine.services.containers import files
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.events import Events
from dockmagic.engine.services.networks.dns import NameServers
from dockmagic.engine.services.networks.links import Links
from dockmagic.engine.services.networks.record import NO_ENDPOINT, Network
from dockmagic.engine.services.networks.registry import NetworkRegistry
from dockmagic.errors import Conflict, DockmagicError, Forbidden, InvalidParameter, NotFound

if TYPE_CHECKING:
    from dockmagic.runtime.networks.ports import Relays
    from dockmagic.runtime.networks.service import Networks as Fabric

_ASKED = ("IPAMConfig", "Links", "Aliases", "DriverOpts", "NetworkID", "GwPriority")
"""What of an endpoint stays when its container ends."""


@dataclass(frozen=True)
class Names:
    """What a container's /etc/hosts and resolv.conf say: its own addresses, others', the name server's."""

    own: Sequence[str] = ()
    others: Sequence[tuple[str, str]] = ()
    resolver: str = ""


class Endpoints:
    """Puts containers on networks. ``default`` is where those go that name none: ``bridge`` or ``host``."""

    def __init__(
        self,
        networks: NetworkRegistry,
        containers: ContainerRegistry,
        fabric: Callable[[], Fabric],
        relays: Relays,
        names: NameServers,
        events: Events,
        default: str,
        links: Links,
    ) -> None:
        self._networks = networks
        self._containers = containers
        self._fabric = fabric
        self._relays = relays
        self._names = names
        self._events = events
        self._default = default
        self._links = links
        self._lock = threading.RLock()

    # --- what a container is asked to join ---

    def plan(self, host: Mapping[str, Any], asked: Mapping[str, Any], mac: str = "") -> dict[str, dict[str, Any]]:
        """The endpoints a new container will have; ``mac`` is for the first. Raises InvalidParameter."""
        mode = host["NetworkMode"]
        if mode.startswith("container:"):
            return {}
        wanted = self._wanted(host)
        names = [wanted, *(name for name in asked if name not in {wanted, mode})]
        endpoints = {}
        for name in names:
            settings = asked.get(name) or (asked.get(mode) if name == wanted else None) or {}
            try:
                network = self._networks.get(name)
            except NotFound:  # told when it starts: clients take a 404 of create for a missing image
                endpoints[name] = dict(NO_ENDPOINT)
                continue
            endpoints[network.name] = self._settings(network, settings)
        first = endpoints[next(iter(endpoints))]
        if mac and first["MacAddress"] not in {"", mac}:
            raise InvalidParameter(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or "
                "be left empty"
            )
        if mac and wanted not in {"host", "none"}:
            first["MacAddress"] = mac
        return endpoints

    def _wanted(self, host: Mapping[str, Any]) -> str:
        mode: str = host["NetworkMode"]
        if mode == "default":
            mode = "bridge" if host["PortBindings"] or host["PublishAllPorts"] else self._default
        return "host" if mode == "bridge" and self._fabric().refusal else mode

    def _settings(self, network: Network, asked: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: asked.get(name) for name in ("IPAMConfig", "Links", "Aliases", "DriverOpts")}
        if kept["Aliases"] and not network.custom:
            raise InvalidParameter("network-scoped alias is supported only for containers in user defined networks")
        address = (kept["IPAMConfig"] or {}).get("IPv4Address")
        if address and not network.custom:
            raise InvalidParameter("user specified IP address is supported on user defined networks only")
        return {
            **NO_ENDPOINT,
            **kept,
            "MacAddress": asked.get("MacAddress") or "",
            "NetworkID": network.id,
            "GwPriority": asked.get("GwPriority") or 0,
        }

    # --- while it runs ---

    def enter(self, container: Container) -> str:
        """The Spec's network for a container that is about to start. Raises NotFound, Conflict, DockmagicError."""
        mode = container.record.host_config["NetworkMode"]
        if mode.startswith("container:"):
            return self._of_other(mode.partition(":")[2])
        networks = [self._networks.get(name) for name in container.record.endpoints]
        for network in networks:
            if not network.bridged:
                self._occupy(network, container)
                return "none" if network.driver == "null" else "host"
        with self._lock:
            space = self._fabric().open_space(container.id)
            gateway = _gateway_network(networks, container)
            try:
                for position, network in enumerate(networks):
                    self._join(network, container, f"eth{position}", first=network is gateway)
            except DockmagicError:
                self.leave(container)
                raise
        return space

    def _of_other(self, reference: str) -> str:
        other = self._containers.get(reference)
        if not other.record.pid:
            raise Conflict(f"cannot join network of a non running container: {other.id}")
        if other.record.host_config["NetworkMode"] == "host" or "host" in other.record.endpoints:
            return "host"
        return f"ns:/proc/{other.record.pid}/ns/net"

    def _occupy(self, network: Network, container: Container) -> dict[str, Any]:
        endpoint = container.record.endpoints.setdefault(network.name, dict(NO_ENDPOINT))
        endpoint["EndpointID"], endpoint["NetworkID"] = new_id(), network.id
        if network.custom:
            aliases = [container.name, *(endpoint.get("Aliases") or ()), container.id[:12]]
            endpoint["DNSNames"] = list(dict.fromkeys(aliases))
        self._tell("connect", network, container)
        return endpoint

    def _join(self, network: Network, container: Container, interface: str, *, first: bool) -> None:
        self._raise(network)
        endpoint = self._occupy(network, container)
        addresses = []
        gateways = []
        asked = endpoint.get("IPAMConfig") or {}
        for pool in network.pools():
            six = pool.subnet.version == 6
            if six and not network.ipv6:
                continue
            address = self._address(network, container, pool, asked.get("IPv6Address" if six else "IPv4Address"))
            addresses.append((address, pool.subnet.prefixlen))
            if not network.internal and first:
                gateways.append(pool.gateway)
            keys = ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway") if six else (
                "IPAddress", "IPPrefixLen", "Gateway"
            )  # fmt: skip
            values = (address, pool.subnet.prefixlen, "" if network.internal else pool.gateway)
            endpoint.update(zip(keys, values, strict=True))
        made = self._fabric().attach(
            network.id,
            container.id,
            interface,
            tuple(addresses),
            gateways=tuple(gateways),
            mac=container.record.macs.get(network.name, ""),
        )
        endpoint["MacAddress"] = made.mac

    def _raise(self, network: Network) -> None:
        self._networks.ensure(network)
        if network.custom:
            self._names.serve(network)

    def restore(self, container: Container) -> None:
        """A container that ran on when the last engine ended: its networks are used."""
        for name, endpoint in container.record.endpoints.items():
            network = self._networks.get(name)
            if network.bridged and endpoint.get("EndpointID"):
                self._raise(network)

    def _address(self, network: Network, container: Container, pool: Any, asked: str | None) -> str:
        from dockmagic.runtime.networks.addresses import check_address, choose_address

        taken = {pool.gateway}
        for other in self._containers.all():
            endpoint = other.record.endpoints.get(network.name)
            if endpoint and other is not container:
                taken |= {endpoint["IPAddress"], endpoint["GlobalIPv6Address"]} - {""}
        if asked:
            return check_address(pool.subnet, asked, taken)
        return choose_address(pool.subnet, taken, pool.within)

    def leave(self, container: Container) -> None:
        """The container has ended."""
        with self._lock:
            inside = False
            for name, endpoint in container.record.endpoints.items():
                if not endpoint.get("EndpointID"):
                    continue
                network = self._networks.get(name)
                inside = inside or network.bridged
                self._vacate(network, endpoint, container)
            if inside:
                self._unpublish(container)
                self._fabric().close_space(container.id)

    def _vacate(self, network: Network, endpoint: dict[str, Any], container: Container) -> None:
        kept = {name: endpoint.get(name, NO_ENDPOINT[name]) for name in _ASKED}
        endpoint.clear()
        endpoint.update({**NO_ENDPOINT, **kept})
        self._tell("disconnect", network, container)

    # --- connect and disconnect ---

    def connect(self, reference: str, container: Container, asked: Mapping[str, Any]) -> None:
        """Raises NotFound, Forbidden, Conflict, InvalidParameter."""
        network = self._networks.get(reference)
        record = container.record
        if network.driver == "host":
            raise InvalidParameter("container cannot be disconnected from host network or connected to host network")
        if network.driver == "null" or "none" in record.endpoints:
            raise InvalidParameter(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )
        if record.host_config["NetworkMode"].startswith("container:") or "host" in record.endpoints:
            raise InvalidParameter(
                "container sharing network namespace with another container or host cannot be connected to any other "
                "network"
            )
        with container.lock:
            if network.name in record.endpoints:
                raise Forbidden(f"endpoint with name {container.name} already exists in network {network.name}")
            settings = record.endpoints[network.name] = self._settings(network, asked)
            if record.host_config["NetworkMode"] in {network.name, network.id}:  # the container's own is for its own
                settings["MacAddress"] = settings["MacAddress"] or record.config.get("MacAddress") or ""
            record.macs[network.name] = settings["MacAddress"]
            if not record.pid:
                return
            position = len(record.endpoints) - 1
            try:
                with self._lock:
                    self._join(network, container, f"eth{position}", first=False)
            except DockmagicError:
                del record.endpoints[network.name]
                raise
            self.write_files(container)

    def disconnect(self, reference: str, container: Container) -> None:
        """Raises NotFound, Forbidden."""
        network = self._networks.get(reference)
        if network.driver == "host":
            raise InvalidParameter("container cannot be disconnected from host network or connected to host network")
        with container.lock:
            endpoint = container.record.endpoints.get(network.name)
            if endpoint is None:
                raise Forbidden(f"container {container.id} is not connected to network {network.name}")
            if endpoint.get("EndpointID"):
                self._fabric().detach(network.id, container.id)
                self._vacate(network, endpoint, container)
            del container.record.endpoints[network.name]
            if container.record.pid:
                self.write_files(container)

    # --- published ports ---

    def publish(self, container: Container, shim: Path) -> None:
        """Serve the container's ports on the machine's. Raises DockmagicError when one is taken."""
        record = container.record
        bridged = [endpoint for endpoint in record.endpoints.values() if endpoint["IPAddress"]]
        record.published = {}
        wanted = self._ports(container) if bridged else []
        if not wanted:
            return
        from dockmagic.runtime.networks.ports import publish

        endpoint = bridged[0]
        try:
            fabric, folder = self._fabric(), self._relay(container)
            done = publish(
                self._relays,
                folder,
                endpoint["IPAddress"],
                wanted,
                network=fabric.shared,
                shim=shim,
                reach=fabric.reach,
            )
        except DockmagicError as error:
            raise DockmagicError(
                "failed to set up container networking: driver failed programming external connectivity on endpoint "
                f"{container.name} ({endpoint['EndpointID']}): {error}"
            ) from error
        for port in done.ports:
            shown = {"HostIp": port.host_address, "HostPort": str(port.host_port)}
            record.published.setdefault(f"{port.container_port}/{port.protocol}", []).append(shown)

    def _ports(self, container: Container) -> list[Any]:
        from dockmagic.runtime.networks.ports import Port

        host = container.record.host_config
        bindings: dict[str, Any] = {name: value or [{}] for name, value in (host["PortBindings"] or {}).items()}
        if host["PublishAllPorts"]:
            for name in container.record.config["ExposedPorts"] or ():
                bindings.setdefault(name, [{}])
        wanted = []
        for name, items in bindings.items():
            number, _, protocol = name.partition("/")
            for item in items:
                low, _, high = str(item.get("HostPort") or "0").partition("-")
                port = self._first_free(int(low), int(high or low), item.get("HostIp") or "", protocol or "tcp")
                wanted.append(Port(int(number), protocol or "tcp", item.get("HostIp") or "", port))  # type: ignore[arg-type]
        return wanted

    def _first_free(self, low: int, high: int, address: str, protocol: str) -> int:
        """The first port of a range that nobody has; ``low`` when none is free, so that it is told as taken."""
        import socket

        if low == high:
            return low
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        for port in range(low, high + 1):
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as probe:
                try:
                    probe.bind((address, port))
                except OSError:
                    continue
                return port
        return low

    def _unpublish(self, container: Container) -> None:
        if not container.record.published:
            return
        from dockmagic.runtime.networks.ports import end_relay, find_relay

        relay = find_relay(self._relay(container))
        if relay is not None:
            end_relay(relay)
        container.record.published = {}

    def _relay(self, container: Container) -> Path:
        return container.folder / "relay"

    # --- names ---

    def write_files(self, container: Container) -> None:
        """Write what the container's /etc/hosts, hostname and resolv.conf say. Raises Conflict as links do."""
        names = self._names_for(container)
        files.write(container, names.own, names.others, resolver=names.resolver)

    def _names_for(self, container: Container) -> Names:
        endpoints = container.record.endpoints
        if "host" in endpoints and container.record.host_config["NetworkMode"] != "host":
            return Names(("127.0.1.1",), self._links.hosts(container))
        own = [endpoint["IPAddress"] for endpoint in endpoints.values() if endpoint["IPAddress"]]
        own += [endpoint["GlobalIPv6Address"] for endpoint in endpoints.values() if endpoint["GlobalIPv6Address"]]
        custom = [e for name, e in endpoints.items() if e["IPAddress"] and self._networks.get(name).custom]
        return Names(own, self._links.hosts(container), self._gateway(custom[0]) if custom else "")

    def _gateway(self, endpoint: Mapping[str, Any]) -> str:
        return self._networks.get(endpoint["NetworkID"]).pools()[0].gateway

    def _tell(self, action: str, network: Network, container: Container) -> None:
        attributes = {"container": container.id, "name": network.name, "type": network.driver}
        self._events.publish("network", action, network.id, attributes)


def _gateway_network(networks: Sequence[Network], container: Container) -> Network | None:
    """The one whose gateway is the container's: of the highest priority, then the first by name."""
    outside = [network for network in networks if not network.internal]

    def order(network: Network) -> tuple[int, str]:
        return -(container.record.endpoints[network.name].get("GwPriority") or 0), network.name

    return min(outside, key=order, default=None)
