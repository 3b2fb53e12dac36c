"""Networks without a kernel's: addresses of Docker's kind, each standing for a container's own loopback address.

It is to the engine what ``runtime.networks.service.Networks`` is, so that networks work on it unchanged. What a
container's tracer must know (who has which address on its networks) is a folder of symbolic links, read when it is
needed, so that containers can join and leave while others run::

    spaces/CONTAINER/own         -> 127.x.y.z, the container's
    spaces/CONTAINER/n-NETWORK   -> ../../nets/NETWORK
    nets/NETWORK/172.18.0.2      -> 127.x.y.z
    nets/NETWORK/127.x.y.z       -> 172.18.0.2
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.errors import DockmagicError
from dockmagic.runtime.networks.addresses import mac_for
from dockmagic.runtime.networks.netlink import Netlink
from dockmagic.runtime.networks.service import Endpoint, Networks
from dockmagic.runtime.tracer.network import address_for, privileged_ports_refused, real_port

if TYPE_CHECKING:
    from dockmagic.runtime.networks.netlink import Network

_LINK = "n-"


class LoopbackNetworks(Networks):
    """All networks of one engine; ``folder`` is its own."""

    def __init__(self, folder: Path) -> None:
        self.shared = ""
        self._spaces = folder / "spaces"
        self._nets = folder / "nets"
        self._spaces.mkdir(parents=True, exist_ok=True)
        self._nets.mkdir(exist_ok=True)
        self._gateways: dict[str, str] = {}
        self._shifted = privileged_ports_refused()

    @property
    def refusal(self) -> str:
        return ""

    # --- networks ---

    def routes(self) -> list[Network]:
        """What a new subnet should not overlap: addresses of its own hide real ones from containers."""
        try:
            with Netlink() as netlink:
                return netlink.routes()
        except OSError:
            return []  # a sandbox without netlink

    def create(
        self,
        network: str,
        subnets: tuple[tuple[str, str], ...],
        *,
        internal: bool = False,
        masquerade: bool = True,
        mtu: int = 0,
    ) -> None:
        """``internal``, ``masquerade`` and ``mtu`` change nothing here: outbound is the host's."""
        self._net(network).mkdir(exist_ok=True)
        for _subnet, gateway in subnets:
            self._gateways[gateway] = network

    def remove(self, network: str) -> None:
        shutil.rmtree(self._net(network), ignore_errors=True)
        self._gateways = {gateway: other for gateway, other in self._gateways.items() if other != network}

    def close(self) -> None:
        """Nothing to let go of."""

    @staticmethod
    def bridge_of(network: str) -> str:
        return "dm-" + network[:12]

    def socket_inside(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        """A socket that, bound to a network's gateway, is reached there by containers, and sees them by address."""
        return _GatewaySocket(self, family, kind)

    def register_gateway(self, gateway: str) -> None:
        """Give a network's gateway a loopback address. Raises OSError when it is no gateway."""
        network = self._gateways.get(gateway)
        if network is None:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        self._pair(network, gateway, address_for(f"gateway {network}"))

    # --- containers ---

    def open_space(self, container: str) -> str:
        space = self._space(container)
        shutil.rmtree(space, ignore_errors=True)  # what an earlier life left
        space.mkdir()
        (space / "own").symlink_to(address_for(container))
        return f"loopback:{space}"

    def close_space(self, container: str) -> None:
        space = self._space(container)
        for link in space.glob(_LINK + "*"):
            self.detach(link.name[len(_LINK) :], container)
        shutil.rmtree(space, ignore_errors=True)

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
        """The container has the address on the network from now on, also while it runs. Raises DockmagicError."""
        address, prefix = addresses[0]
        try:
            self._pair(network, address, os.readlink(self._space(container) / "own"))
            link = self._space(container) / (_LINK + network)
            link.unlink(missing_ok=True)
            link.symlink_to(self._net(network))
        except OSError as error:
            raise DockmagicError(f"failed to add interface {interface} to sandbox: {error.strerror}") from error
        return Endpoint(interface, address, prefix, mac or mac_for(address))

    def detach(self, network: str, container: str) -> None:
        own = address_for(container)
        pair = self._net(network) / own
        try:
            (self._net(network) / os.readlink(pair)).unlink(missing_ok=True)
        except OSError:
            return  # it is not on this network
        pair.unlink(missing_ok=True)
        (self._space(container) / (_LINK + network)).unlink(missing_ok=True)

    def reach(self, address: str, port: int) -> tuple[str, int]:
        """Where a container's address and port really are, for who forwards from the machine."""
        for net in self._nets.iterdir():
            try:
                return os.readlink(net / address), real_port(port, self._shifted)
            except OSError:
                continue
        return address, port

    def seen(self, real: str) -> str:
        """The address that containers know a loopback address by."""
        for net in self._nets.iterdir():
            try:
                return os.readlink(net / real)
            except OSError:
                continue
        return real

    def some_member(self, gateway: str) -> str:
        """The address of any container on the network with this gateway; the gateway when there is none."""
        names = os.listdir(self._net(self._gateways[gateway]))
        return next((name for name in sorted(names) if name != gateway and not name.startswith("127.")), gateway)

    # --- the folder ---

    def _space(self, container: str) -> Path:
        return self._spaces / container[:24]

    def _net(self, network: str) -> Path:
        return self._nets / network

    def _pair(self, network: str, address: str, real: str) -> None:
        for name, target in ((address, real), (real, address)):
            path = self._net(network) / name
            path.unlink(missing_ok=True)
            path.symlink_to(target)


class _GatewaySocket(socket.socket):
    """Speaks of containers by their addresses on a network, whatever is underneath."""

    def __init__(self, networks: LoopbackNetworks, family: socket.AddressFamily, kind: socket.SocketKind) -> None:
        super().__init__(family, kind)
        self._networks = networks
        self._askers: dict[tuple[str, int], Any] = {}
        self._gateway = ""

    def bind(self, address: Any) -> None:
        self._gateway, port = address
        self._networks.register_gateway(self._gateway)
        super().bind(self._networks.reach(self._gateway, port))

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        data, (host, port) = super().recvfrom(size, flags)
        known = self._networks.seen(host)
        if known == host:  # a socket bound to every address says 127.0.0.1: somebody on this network it is
            known = self._networks.some_member(self._gateway)
        asker = (known, port)
        self._askers[asker] = (host, port)
        return data, asker

    def sendto(self, data: Any, *args: Any) -> int:
        address = args[-1]
        return super().sendto(data, args[0] if len(args) > 1 else 0, self._askers.pop(address, address))
