"""rtnetlink by hand: links, addresses and routes of the network namespace a socket was made in.

Formats and numbers are those of linux/netlink.h, rtnetlink.h, if_link.h and if_addr.h. (pyroute2's import alone costs
250 to 400 ms; a container's whole interface takes 1.5 ms here.)
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import TypeAlias

Attribute: TypeAlias = bytes
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_HEADER = struct.Struct("=IHHII")
_REQUEST, _ACK, _DUMP, _CREATE, _EXCLUSIVE = 0x1, 0x4, 0x300, 0x400, 0x200
_ERROR, _DONE = 2, 3
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE, _GETROUTE = 16, 17, 18, 20, 24, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_INFO_PEER = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_TABLE_MAIN, _PROTOCOL_STATIC, _UNICAST = 254, 4, 1
_IFF_UP = 1


def attribute(kind: int, value: bytes | int | str) -> Attribute:
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def attributes_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + size]
        at += max(4, (size + 3) & ~3)


def _link(index: int = 0, *, up: bool = False) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP if up else 0)


class Netlink:
    """A netlink socket; it keeps the network namespace it is made in. Failures are OSError with the kernel's number."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def message(self, kind: int, flags: int, body: bytes) -> bytes:
        """One request, numbered."""
        self._sequence += 1
        return _HEADER.pack(len(body) + 16, kind, flags | _REQUEST, self._sequence, 0) + body

    def send(self, data: bytes, acknowledgements: int) -> None:
        """Send requests and wait for so many acknowledgements; the first error among them is raised."""
        self._socket.send(data)
        failed = 0
        while acknowledgements:
            for kind, body in self._messages(self._socket.recv(1 << 16)):
                if kind == _ERROR:
                    acknowledgements -= 1
                    failed = failed or -struct.unpack_from("=i", body)[0]
        if failed:
            raise OSError(failed, os.strerror(failed))

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self.send(self.message(kind, flags | _ACK, body), 1)

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        self._socket.send(self.message(kind, _DUMP, body))
        while True:
            for answer, data in self._messages(self._socket.recv(1 << 18)):
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", data)[0]
                    raise OSError(code, os.strerror(code))
                yield data

    @staticmethod
    def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 16 <= len(data):
            size, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
            yield kind, data[at + 16 : at + size]
            at += (size + 3) & ~3

    # --- links ---

    def index(self, name: str) -> int:
        """The interface's number, 0 when there is none of that name."""
        self._socket.send(self.message(_GETLINK, 0, _link() + attribute(_IFLA_IFNAME, name)))
        for kind, body in self._messages(self._socket.recv(1 << 16)):
            if kind == _NEWLINK:
                return int(struct.unpack_from("=i", body, 4)[0])
        return 0

    def add_bridge(self, name: str, mtu: int = 0) -> int:
        """A bridge that is up; its number. One that is there already is taken as it is."""
        body = _link(up=True) + attribute(_IFLA_IFNAME, name)
        if mtu:
            body += attribute(_IFLA_MTU, mtu)
        body += attribute(_IFLA_LINKINFO, attribute(_INFO_KIND, "bridge"))
        try:
            self._ask(_NEWLINK, _CREATE | _EXCLUSIVE, body)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        return self.index(name)

    def add_veth(self, name: str, master: int, peer: str, namespace: int, mac: bytes, mtu: int = 0) -> None:
        """A pair: ``name`` here on bridge ``master``, ``peer`` in the namespace that descriptor ``namespace`` names."""
        size = attribute(_IFLA_MTU, mtu) if mtu else b""
        far = _link() + attribute(_IFLA_IFNAME, peer) + attribute(_IFLA_ADDRESS, mac) + size
        far += attribute(_IFLA_NET_NS_FD, namespace)
        info = attribute(_INFO_KIND, "veth") + attribute(_INFO_DATA, attribute(_VETH_INFO_PEER, far))
        near = _link(up=True) + attribute(_IFLA_IFNAME, name) + attribute(_IFLA_MASTER, master) + size
        body = near + attribute(_IFLA_LINKINFO, info)
        try:
            self._ask(_NEWLINK, _CREATE | _EXCLUSIVE, body)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
            self.remove(name)  # what an earlier life left
            self._ask(_NEWLINK, _CREATE | _EXCLUSIVE, body)

    def set_up(self, index: int) -> None:
        self._ask(_NEWLINK, 0, _link(index, up=True))

    def remove(self, name: str) -> bool:
        """Whether there was one."""
        try:
            self._ask(_DELLINK, 0, _link() + attribute(_IFLA_IFNAME, name))
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.EINVAL):
                return False
            raise
        return True

    # --- addresses and routes ---

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """An address that is there already is no error."""
        value = ipaddress.ip_address(address)
        family = socket.AF_INET if value.version == 4 else socket.AF_INET6
        flags = 0 if value.version == 4 else _IFA_F_NODAD
        body = struct.pack("=BBBBi", family, prefix, flags, 0, index)
        body += attribute(_IFA_LOCAL, value.packed) + attribute(_IFA_ADDRESS, value.packed)
        try:
            self._ask(_NEWADDR, _CREATE | _EXCLUSIVE, body)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise

    def add_default_route(self, gateway: str, index: int) -> None:
        value = ipaddress.ip_address(gateway)
        family = socket.AF_INET if value.version == 4 else socket.AF_INET6
        body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, 0, _UNICAST, 0)
        body += attribute(_RTA_GATEWAY, value.packed) + attribute(_RTA_OIF, index)
        try:
            self._ask(_NEWROUTE, _CREATE | _EXCLUSIVE, body)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise

    def routes(self) -> list[Network]:
        """The networks this machine has routes to, default routes left out."""
        found: list[Network] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for data in self._dump(_GETROUTE, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)):
                prefix = data[1]
                for kind, value in attributes_of(data[12:]):
                    if kind == _RTA_DST and prefix:
                        whole = ipaddress.ip_network((value, prefix), strict=False)
                        found.append(whole)
        return found
