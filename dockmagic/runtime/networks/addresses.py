"""Which subnet a new network gets, which address a container: docker's choices. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from dockmagic.errors import DockmagicError, InvalidParameter
from dockmagic.runtime.networks.netlink import Network

_POOLS = (
    *(f"172.{number}.0.0/16" for number in range(17, 32)),
    *(f"192.168.{number}.0/20" for number in range(0, 256, 16)),
)
"""moby's default address pools (libnetwork/ipamutils), in order; docker0 takes the first."""


def choose_subnet(taken: Iterable[Network]) -> ipaddress.IPv4Network:
    """The first pool that overlaps nothing in ``taken`` (other networks, the machine's routes)."""
    used = [network for network in taken if network.version == 4]
    for pool in _POOLS:
        candidate = ipaddress.IPv4Network(pool)
        if not any(candidate.overlaps(network) for network in used):
            return candidate
    raise DockmagicError(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )


def choose_address(subnet: Network, taken: Iterable[str], within: Network | None = None) -> str:
    """The first free address of ``subnet`` (of ``within``, an ``--ip-range``), the gateway's being among ``taken``."""
    used = {ipaddress.ip_address(address) for address in taken}
    edges = {subnet.network_address, subnet.broadcast_address} if subnet.version == 4 else {subnet.network_address}
    pool = within if within is not None else subnet
    at = int(pool.network_address)
    while at <= int(pool.broadcast_address):
        candidate = subnet.network_address + (at - int(subnet.network_address))
        if candidate not in used and candidate not in edges:
            return str(candidate)
        at += 1
    raise DockmagicError("no available IPv4 addresses on this network's address pools")


def default_gateway(subnet: Network) -> str:
    return str(subnet.network_address + 1)


def check_address(subnet: Network, address: str, taken: Iterable[str]) -> str:
    """A chosen address (``docker run --ip``). Raises InvalidParameter and DockmagicError with docker's words."""
    try:
        value = ipaddress.ip_address(address)
    except ValueError:
        raise InvalidParameter(f"invalid IPv4 address: {address}") from None
    if value not in subnet:
        raise InvalidParameter("no configured subnet or ip-range contain the IP address " + address)
    if str(value) in set(taken):
        raise DockmagicError("Address already in use")
    return str(value)


def mac_for(address: str) -> str:
    """The hardware address docker gives with an IPv4 address: 02:42 and its four bytes."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + ipaddress.IPv4Address(address).packed)
