"""A container's own loopback address, where no network namespace can be had: socket addresses in and out.

Each container owns an address in 127.0.0.0/8. Binding to any address or to 127.0.0.1 lands there, 127.0.0.1 means it,
and other containers reach it by name through /etc/hosts; so two containers can both listen on port 80. Outbound
connections leave as the host's. An IPv6 socket is bound to the same address mapped into IPv6.

Ports below 1024 are moved up by :data:`PRIVILEGED_SHIFT` on containers' addresses where the kernel refuses them; a
forwarder from the host must go to :func:`real_port`. Addresses that containers have on networks (172.18.0.2) stand for
loopback addresses; which for which is in a :class:`Space`.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import os
import socket
import struct

from dockmagic.runtime.tracer.kernel import fail

PRIVILEGED_SHIFT = 64512
"""Ports 1 to 1023 become 64513 to 65535: above every range of ephemeral ports."""
_LIMIT = 1024
_ANY4, _LOCAL4 = bytes(4), bytes((127, 0, 0, 1))
_ANY6, _LOCAL6 = bytes(16), bytes(15) + b"\1"
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2
_INET, _INET6 = int(socket.AF_INET), int(socket.AF_INET6)
_ZERO_NET = bytes((127, 0))
"""127.0.0.0/16 is the host's own: resolvers live there."""


def privileged_ports_refused() -> bool:
    """Whether a process of this user may not bind ports below 1024 (asked of the kernel)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        for port in range(1023, 1000, -1):
            try:
                sock.bind(("127.255.255.254", port))
            except PermissionError:
                return True
            except OSError:
                continue  # taken
            return False
    return False


def real_port(port: int, shifted: bool) -> int:
    """Where a container's ``port`` really is; ``shifted`` is :func:`privileged_ports_refused`."""
    return port + PRIVILEGED_SHIFT if shifted and 0 < port < _LIMIT else port


def address_for(identifier: str) -> str:
    """An address for a container that was given none: the same one for the same id."""
    one, two, three = hashlib.sha256(identifier.encode()).digest()[:3]
    return f"127.{1 + one % 254}.{two}.{1 + three % 254}"


class Space:
    """What fabric.py notes of one container: its loopback address, and who has which address on its networks."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def own(self) -> str:
        """Raises OSError when the container has no space."""
        return os.readlink(os.path.join(self._folder, "own"))

    def look_up(self, address: bytes) -> bytes | None:
        """The loopback address that a network's address stands for, or the other way round; None for a stranger's."""
        name = socket.inet_ntoa(address)
        try:
            networks = [entry for entry in os.listdir(self._folder) if entry.startswith("n-")]
        except OSError:
            return None  # the container has ended
        for network in networks:
            try:
                return socket.inet_aton(os.readlink(f"{self._folder}/{network}/{name}"))
            except OSError:
                continue
        return None


class Network:
    """Translates one container's socket addresses. ``isolated``: nothing but its own address can be reached."""

    def __init__(self, address: str, *, shifted: bool, isolated: bool = False, space: Space | None = None) -> None:
        self._own = ipaddress.IPv4Address(address).packed
        self._space = space
        self._shifted = shifted
        self._isolated = isolated
        self._bound: dict[int, bytes] = {}
        """By real port, the address that was asked for: 16 bytes for IPv6."""

    def bind(self, value: bytes) -> bytes:
        """The address to bind instead. Raises OSError."""
        family, port, address = _take_apart(value)
        if address in (_ANY4, _ANY6) and port == 0:
            return value  # an outgoing socket: it must be able to leave this machine
        local = address in (_ANY4, _ANY6, _LOCAL4, _LOCAL6, self._own, _MAPPED + self._own, _MAPPED + _LOCAL4)
        if not local and self._look_up(_v4(address)) != self._own:
            return value
        real = real_port(port, self._shifted)
        if real:
            self._bound[real] = address
        return _put_together(value, family, real, self._own)

    def fallback(self, value: bytes) -> bytes | None:
        """After bind's EINVAL (IPV6_V6ONLY): an address nobody will call, so that a server can go on with IPv4."""
        if _take_apart(value)[0] != _INET6:
            return None
        return value[:2] + bytes(2) + value[4:8] + _LOCAL6 + value[24:]

    def connect(self, value: bytes) -> bytes:
        """The address to connect or send to instead. Raises OSError(ENETUNREACH) when there is no way out."""
        family, port, address = _take_apart(value)
        v4 = _v4(address)
        if address in (_ANY6, _LOCAL6) or v4 in (_ANY4, _LOCAL4, self._own):
            return _put_together(value, family, real_port(port, self._shifted), self._own)
        if len(v4) == 4 and v4[0] == 127 and not v4.startswith(_ZERO_NET):
            if self._isolated:
                raise fail(errno.ENETUNREACH)
            return _put_together(value, family, real_port(port, self._shifted), v4)
        if self._isolated:
            raise fail(errno.ENETUNREACH)
        known = self._look_up(v4)
        if known is not None:
            return _put_together(value, family, real_port(port, self._shifted), known)
        return value

    def source(self, value: bytes) -> bytes | None:
        """For an address that :meth:`connect` gave: what to bind the socket to first, so that the other container
        sees who calls; None when it is no other container."""
        family, _port, address = _take_apart(value)
        v4 = _v4(address)
        if len(v4) != 4 or v4[0] != 127 or v4.startswith(_ZERO_NET) or v4 == self._own:
            return None
        return _put_together(value, family, 0, self._own)

    def _look_up(self, v4: bytes) -> bytes | None:
        return self._space.look_up(v4) if self._space is not None and len(v4) == 4 else None

    def seen(self, value: bytes, *, peer: bool) -> bytes:
        """A socket's address (or its peer's) as the container knows it."""
        family, port, address = _take_apart(value)
        v4 = _v4(address)
        if len(v4) != 4 or v4[0] != 127 or v4.startswith(_ZERO_NET):
            return value
        asked = port - PRIVILEGED_SHIFT if self._shifted and port > PRIVILEGED_SHIFT else port
        if v4 != self._own:
            return _put_together(value, family, asked, self._look_up(v4) or v4)
        told = _LOCAL4 if peer else self._bound.get(port) or self._look_up(self._own) or _LOCAL4
        if family == _INET6:
            told = _ANY6 if told == _ANY4 else told if len(told) == 16 else _MAPPED + told
        elif len(told) == 16:
            told = _ANY4 if told == _ANY6 else _LOCAL4
        return (
            value[:2]
            + struct.pack("!H", asked)
            + (value[4:8] + told.rjust(16, b"\0") + value[24:] if family == _INET6 else told + value[8:])
        )


def _v4(address: bytes) -> bytes:
    """An IPv4 address, also when it is mapped into IPv6."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


def is_internet(value: bytes) -> bool:
    """Whether a socket address is a whole one of IPv4 or IPv6."""
    if len(value) < 16:
        return False
    family = int.from_bytes(value[:2], "little")
    return family == _INET or (family == _INET6 and len(value) >= 24)


def _take_apart(value: bytes) -> tuple[int, int, bytes]:
    """(family, port, address) of a struct sockaddr_in or sockaddr_in6 (linux/in.h, linux/in6.h)."""
    family, port = int.from_bytes(value[:2], "little"), int.from_bytes(value[2:4], "big")
    return family, port, value[4:8] if family == _INET else value[8:24]


def _put_together(value: bytes, family: int, port: int, v4: bytes) -> bytes:
    head = value[:2] + struct.pack("!H", port)
    if family == _INET:
        return head + v4 + value[8:]
    return head + value[4:8] + _MAPPED + v4 + value[24:]
