"""Networks: bridges, and containers on them.

A container on a bridge has a network namespace made before it starts: ``open_space`` gives what goes into its Spec,
``attach`` puts an interface into it (also while it runs), ``close_space`` lets go of it when the container has ended.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from dockmagic.errors import DockmagicError
from dockmagic.runtime.networks import firewall, nftables, spaces
from dockmagic.runtime.networks.addresses import mac_for
from dockmagic.runtime.networks.netlink import Netlink, Network
from dockmagic.runtime.networks.ports import Relays, ask, end_relay, find_relay
from dockmagic.runtime.protocols import Capability

PREFIX = "dm-"
"""What the names of all our bridges begin with."""


Result = TypeVar("Result")


class _Runtime(Relays, Protocol):
    capability: Capability


@dataclass(frozen=True)
class Endpoint:
    """A container's interface on one network."""

    interface: str
    address: str
    prefix: int
    mac: str


class Networks:
    """All bridges of one engine. ``folder`` is its own, on a file system with room for names only."""

    def __init__(self, runtime: _Runtime, folder: Path) -> None:
        self._runtime = runtime
        self._folder = folder
        self._rootless = runtime.capability.tier == "rootless"
        self.shared = str(folder / "shared") if self._rootless else ""
        """The namespace in which the bridges are, as a file; "": the machine's own."""
        self._outward: dict[str, socket.socket] = {}

    @property
    def refusal(self) -> str:
        """Why there can be no networks here; empty when there can."""
        capability = self._runtime.capability
        if capability.tier not in ("namespaces", "rootless"):
            return f"the {capability.tier} runtime has no networks of its own"
        failed = [f for f in capability.findings if f.name == "network namespace" and not f.ok]
        return f"{failed[0].meaning} ({failed[0].detail})" if failed else ""

    # --- networks ---

    def routes(self) -> list[Network]:
        """What a new subnet must not overlap."""
        with Netlink() as netlink:
            return netlink.routes()

    def create(
        self,
        network: str,
        subnets: tuple[tuple[str, str], ...],
        *,
        internal: bool = False,
        masquerade: bool = True,
        mtu: int = 0,
    ) -> None:
        """The bridge of ``network`` (its id), with (subnet, gateway) pairs. Done already: nothing happens.

        Raises DockmagicError when the kernel refuses.
        """
        bridge = self.bridge_of(network)
        try:
            if self._rootless:
                spaces.make(self.shared)
            self._inside(lambda: self._make_bridge(bridge, subnets, internal, masquerade, mtu))
            if self._rootless and not internal:
                self._serve_outward(network, bridge, subnets)
        except OSError as error:
            raise DockmagicError(f"failed to create network {network[:12]}: {error.strerror or error}") from error

    def remove(self, network: str) -> None:
        """Take a network's bridge and rules away."""
        control = self._outward.pop(network, None) or find_relay(self._relay_folder(network))
        if control is not None:
            end_relay(control)
            folder = self._relay_folder(network)
            if folder.is_dir():
                folder.rmdir()
        if self._rootless and not spaces.exists(self.shared):
            return
        self._inside(lambda: self._remove_bridge(self.bridge_of(network)))

    def close(self) -> None:
        """When nothing runs any more: let go of the namespace of the bridges (rootless), and so of all of them."""
        if self._rootless:
            spaces.remove(self.shared)

    @staticmethod
    def bridge_of(network: str) -> str:
        """The bridge's name (an interface's has at most 15 bytes)."""
        return PREFIX + network[:12]

    def socket_inside(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        """A socket in the namespace of the bridges: a name server binds it to a network's gateway."""
        return self._inside(lambda: socket.socket(family, kind))

    def reach(self, address: str, port: int) -> tuple[str, int]:
        """Where a container's address and port really are, for a relay in ``shared``: just there."""
        return address, port

    # --- containers ---

    def space_of(self, container: str) -> str:
        return str(self._folder / f"c-{container[:24]}")

    def open_space(self, container: str) -> str:
        """A new network namespace for a container; what its Spec's ``network`` is. Raises DockmagicError."""
        path = self.space_of(container)
        spaces.remove(path)  # what an earlier life left
        try:
            spaces.make(path)
        except OSError as error:
            raise DockmagicError(f"failed to create a network namespace: {error.strerror}") from error
        return f"ns:{path}"

    def close_space(self, container: str) -> None:
        """The container has ended: its namespace and all interfaces in it go."""
        spaces.remove(self.space_of(container))

    def attach(
        self,
        network: str,
        container: str,
        interface: str,
        addresses: tuple[tuple[str, int], ...],
        *,
        gateways: tuple[str, ...] = (),
        mac: str = "",
        mtu: int = 0,
    ) -> Endpoint:
        """Put an interface (``eth0``) of a container on a network. ``addresses``: (address, prefix), IPv4 first.

        ``gateways``: default routes to set. Raises DockmagicError.
        """
        mac = mac or mac_for(addresses[0][0])
        hardware = bytes.fromhex(mac.replace(":", ""))
        space = self.space_of(container)
        near = self._veth_of(network, container)
        try:
            fd = os.open(space, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._inside(lambda: self._make_veth(near, self.bridge_of(network), interface, fd, hardware, mtu))
            finally:
                os.close(fd)
            spaces.inside(space, lambda: _configure(interface, addresses, gateways))
        except OSError as error:
            raise DockmagicError(
                f"failed to add interface {interface} to sandbox: {error.strerror or error}"
            ) from error
        return Endpoint(interface, addresses[0][0], addresses[0][1], mac)

    def detach(self, network: str, container: str) -> None:
        """Take the interface away."""
        self._inside(lambda: _remove_link(self._veth_of(network, container)))

    @staticmethod
    def _veth_of(network: str, container: str) -> str:
        return f"dv{container[:7]}{network[:6]}"

    # --- inside the namespace of the bridges ---

    def _inside(self, action: Callable[[], Result]) -> Result:
        return spaces.inside(self.shared, action) if self._rootless else action()

    def _make_bridge(
        self, bridge: str, subnets: tuple[tuple[str, str], ...], internal: bool, masquerade: bool, mtu: int
    ) -> None:
        with Netlink() as netlink:
            index = netlink.add_bridge(bridge, mtu)
            for subnet, gateway in subnets:
                network = ipaddress.ip_network(subnet)
                netlink.add_address(index, gateway, network.prefixlen)
                table = nftables.Table(f"dockmagic-{bridge}", network)
                table.keep_apart(bridge, PREFIX, internal=internal)
                if masquerade and not internal and not self._rootless:
                    table.masquerade(bridge)
                table.install()
        _forward_packets()
        if not self._rootless:
            firewall.let_through(PREFIX)

    def _remove_bridge(self, bridge: str) -> None:
        for family in (2, 10):  # NFPROTO_IPV4, NFPROTO_IPV6
            for name in (f"dockmagic-{bridge}", f"dockmagic-{bridge}-out"):
                nftables.remove_table(name, family)
        _remove_link(bridge)

    def _make_veth(self, near: str, bridge: str, far: str, namespace: int, hardware: bytes, mtu: int) -> None:
        with Netlink() as netlink:
            netlink.add_veth(near, netlink.index(bridge), far, namespace, hardware, mtu)

    def _relay_folder(self, network: str) -> Path:
        return self._folder / f"out-{network[:12]}"

    def _serve_outward(self, network: str, bridge: str, subnets: tuple[tuple[str, str], ...]) -> None:
        """The shared namespace has no way out: TCP connections are sent to a relay, which is in the machine's own."""
        if network in self._outward:
            return
        subnet, gateway = next((pair for pair in subnets if ":" not in pair[0]), ("", ""))
        if not subnet:
            return
        with self._inside(lambda: _listener(gateway)) as listener:
            control = self._runtime.prepare_relay(self._relay_folder(network))
            ask(control, {"op": "listen", "protocol": "tcp", "target": None}, listener.fileno())
            table = nftables.Table(f"dockmagic-{bridge}-out", ipaddress.ip_network(subnet))
            table.redirect_outward(bridge, listener.getsockname()[1])
            self._inside(table.install)
        self._outward[network] = control


def _listener(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind((address, 0))
    return sock


def _configure(interface: str, addresses: tuple[tuple[str, int], ...], gateways: tuple[str, ...]) -> None:
    """In the container's namespace."""
    with Netlink() as netlink:
        index = netlink.index(interface)
        for address, prefix in addresses:
            netlink.add_address(index, address, prefix)
        netlink.set_up(index)
        for gateway in gateways:
            netlink.add_default_route(gateway, index)


def _remove_link(name: str) -> None:
    with Netlink() as netlink:
        netlink.remove(name)


def _forward_packets() -> None:
    """Make this namespace a router, as dockerd does."""
    with open("/proc/sys/net/ipv4/ip_forward", "r+", encoding="ascii") as file:
        if file.read().strip() != "1":
            file.seek(0)
            file.write("1")
