"""nf_tables by hand: one table a network, with what hides its addresses and keeps it apart.

Numbers are those of linux/netfilter/nf_tables.h and nfnetlink.h. A table is replaced as a whole, in one transaction,
and removing it removes all its rules.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import TypeAlias

from dockmagic.runtime.networks.netlink import Netlink, attribute

_NETLINK_NETFILTER = 12
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_SUBSYSTEM = 10
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = 0, 2, 3, 6
_CREATE, _APPEND, _ACK = 0x400, 0x800, 0x4
_NESTED = 0x8000
_HOOK_PREROUTING, _HOOK_FORWARD, _HOOK_POSTROUTING = 0, 2, 4
_PRIORITY_DNAT, _PRIORITY_FILTER, _PRIORITY_SNAT = -100, 0, 100
_META_IIFNAME, _META_OIFNAME, _META_L4PROTO = 6, 7, 16
_EQUAL, _UNEQUAL = 0, 1
_REGISTER = 1
_NETWORK_HEADER = 1
_DROP = 0

Expression: TypeAlias = bytes


def _value(kind: int, value: bytes | int | str) -> bytes:
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF) if isinstance(value, int) else value)


def _nest(kind: int, *inner: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(inner))


def _expression(name: str, *settings: bytes) -> Expression:
    return _nest(1, _value(1, name), _nest(2, *settings))


def _load_meta(key: int) -> Expression:
    return _expression("meta", _value(1, _REGISTER), _value(2, key))


def _compare(operator: int, data: bytes) -> Expression:
    return _expression("cmp", _value(1, _REGISTER), _value(2, operator), _nest(3, attribute(1, data)))


def interface(key: int, operator: int, name: str) -> list[Expression]:
    return [_load_meta(key), _compare(operator, name.encode().ljust(16, b"\0"))]


def _interface_prefix(key: int, prefix: str) -> list[Expression]:
    return [_load_meta(key), _compare(_EQUAL, prefix.encode())]


def _address_in(network: ipaddress.IPv4Network | ipaddress.IPv6Network, *, source: bool, operator: int) -> list[bytes]:
    """Load the packet's source or destination, mask it, compare it."""
    size = len(network.network_address.packed)
    offset = (12 if source else 16) if size == 4 else (8 if source else 24)
    load = _expression("payload", _value(1, _REGISTER), _value(2, _NETWORK_HEADER), _value(3, offset), _value(4, size))
    mask = _nest(4, attribute(1, network.netmask.packed))
    nothing = _nest(5, attribute(1, bytes(size)))
    masked = _expression("bitwise", _value(1, _REGISTER), _value(2, _REGISTER), _value(3, size), mask, nothing)
    return [load, masked, _compare(operator, network.network_address.packed)]


def _drop() -> Expression:
    return _expression("immediate", _value(1, 0), _nest(2, _nest(2, _value(1, _DROP))))


class Table:
    """One table of one family, built up and then put in place with :meth:`install`."""

    def __init__(self, name: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
        self._name = name
        self._network = network
        self._family = 2 if network.version == 4 else 10  # NFPROTO_IPV4, NFPROTO_IPV6
        self._chains: list[bytes] = []
        self._rules: list[bytes] = []

    def _chain(self, name: str, kind: str, hook: int, priority: int) -> None:
        body = _value(1, self._name) + _value(3, name) + _nest(4, _value(1, hook), _value(2, priority))
        self._chains.append(body + _value(7, kind))

    def _rule(self, chain: str, expressions: list[Expression]) -> None:
        self._rules.append(_value(1, self._name) + _value(2, chain) + _nest(4, *expressions))

    def masquerade(self, bridge: str) -> None:
        """Packets of this network that leave by another interface get that interface's address."""
        self._chain("postrouting", "nat", _HOOK_POSTROUTING, _PRIORITY_SNAT)
        outward = interface(_META_OIFNAME, _UNEQUAL, bridge)
        source = _address_in(self._network, source=True, operator=_EQUAL)
        self._rule("postrouting", [*source, *outward, _expression("masq")])

    def keep_apart(self, bridge: str, prefix: str, *, internal: bool) -> None:
        """Nothing passes between this bridge and those whose names begin with ``prefix``; internal: nor others."""
        self._chain("forward", "filter", _HOOK_FORWARD, _PRIORITY_FILTER)
        for inward, outward in ((_META_IIFNAME, _META_OIFNAME), (_META_OIFNAME, _META_IIFNAME)):
            here = interface(inward, _EQUAL, bridge)
            elsewhere = interface(outward, _UNEQUAL, bridge)
            others = [] if internal else _interface_prefix(outward, prefix)
            self._rule("forward", [*here, *elsewhere, *others, _drop()])

    def redirect_outward(self, bridge: str, port: int) -> None:
        """TCP connections of this network to outside of it go to ``port`` of this namespace instead."""
        self._chain("prerouting", "nat", _HOOK_PREROUTING, _PRIORITY_DNAT)
        tcp = [_load_meta(_META_L4PROTO), _compare(_EQUAL, bytes([socket.IPPROTO_TCP]))]
        here = interface(_META_IIFNAME, _EQUAL, bridge)
        outside = _address_in(self._network, source=False, operator=_UNEQUAL)
        load_port = _expression("immediate", _value(1, _REGISTER), _nest(2, attribute(1, struct.pack(">H", port))))
        redirect = _expression("redir", _value(1, _REGISTER), _value(2, _REGISTER))
        self._rule("prerouting", [*tcp, *here, *outside, load_port, redirect])

    def install(self) -> None:
        """Put it in place of what was there under its name. Raises OSError."""
        remove_table(self._name, self._family)
        bodies = [(_NEWTABLE, _CREATE, _value(1, self._name))]
        bodies += [(_NEWCHAIN, _CREATE, body) for body in self._chains]
        bodies += [(_NEWRULE, _CREATE | _APPEND, body) for body in self._rules]
        _transaction(self._family, bodies)


def remove_table(name: str, family: int) -> None:
    try:
        _transaction(family, [(_DELTABLE, 0, _value(1, name))])
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _transaction(family: int, bodies: list[tuple[int, int, bytes]]) -> None:
    with Netlink(_NETLINK_NETFILTER) as netlink:
        edge = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        data = netlink.message(_BATCH_BEGIN, 0, edge)
        for kind, flags, body in bodies:
            head = struct.pack(">BBH", family, 0, 0)
            data += netlink.message(_SUBSYSTEM << 8 | kind, flags | _ACK, head + body)
        data += netlink.message(_BATCH_END, 0, edge)
        try:
            netlink.send(data, len(bodies))
        except OSError as error:
            code = error.errno or errno.EIO
            raise OSError(code, f"nf_tables: {os.strerror(code)}") from error
