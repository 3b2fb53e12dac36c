"""Names on user-defined networks: a small name server at each network's gateway.

It answers for the containers of the networks the asker is on (A, AAAA, PTR), and hands every other question to the
machine's own name servers. RFC 1035, over UDP only.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.networks.links import split
from dockmagic.engine.services.networks.record import Network

if TYPE_CHECKING:
    from dockmagic.runtime.networks.service import Networks as Fabric

_A, _PTR, _AAAA = 1, 12, 28
_TTL = 600  # libnetwork, resolver.go: respTTL
_TIMEOUT = 4.0
_NO_ERROR, _SERVER_FAILURE = 0, 2


class NameServers:
    """One server a network, started when the first container joins it."""

    def __init__(self, containers: ContainerRegistry, fabric: Callable[[], Fabric]) -> None:
        self._containers = containers
        self._fabric = fabric
        self._lock = threading.Lock()
        self._sockets: dict[str, socket.socket] = {}

    def serve(self, network: Network) -> None:
        """Answer at the gateway of ``network``, if that is not done already."""
        with self._lock:
            if network.id in self._sockets:
                return
            sock = self._fabric().socket_inside(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                sock.bind((network.pools()[0].gateway, 53))
            except OSError:  # another name server has every address of this machine: containers ask that one
                sock.close()
                return
            sock.settimeout(30)  # closing a socket does not wake who waits on it
            self._sockets[network.id] = sock
        threading.Thread(target=self._run, args=(sock,), name=f"dns {network.name}", daemon=True).start()

    def stop(self, network: Network) -> None:
        """The network goes."""
        with self._lock:
            sock = self._sockets.pop(network.id, None)
        if sock is not None:
            sock.close()

    def _run(self, sock: socket.socket) -> None:
        while True:
            try:
                question, asker = sock.recvfrom(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                answer = self._answer(question, asker[0])
            except (struct.error, IndexError, UnicodeError):
                continue  # not a question
            if answer is not None:
                _send(sock, answer, asker)
            else:
                threading.Thread(target=_forward, args=(sock, question, asker), daemon=True).start()

    def _answer(self, question: bytes, asker: str) -> bytes | None:
        """The answer of our own, None when somebody else must know."""
        name, kind, end = _question(question)
        if kind == _PTR:
            found = self._name_of(name, asker)
            return _reply(question, end, [(_PTR, _labels(found))]) if found else None
        if kind not in {_A, _AAAA}:
            return None
        key = "IPAddress" if kind == _A else "GlobalIPv6Address"
        known = False
        addresses = []
        for endpoint in self._meant(name, asker):
            known = True
            if endpoint[key]:
                addresses.append(socket.inet_pton(socket.AF_INET if kind == _A else socket.AF_INET6, endpoint[key]))
        return _reply(question, end, [(kind, address) for address in addresses]) if known else None

    def _meant(self, name: str, asker: str) -> Iterator[dict[str, Any]]:
        """The endpoints that ``name`` means to ``asker``: by its own links first, then by everybody's names."""
        running = [container for container in self._containers.all() if container.running]
        own: set[str] = set()
        linked: set[tuple[str, str]] = set()
        for container in running:
            for network in _networks_of(container, asker):
                own.add(network)
                for link in map(split, container.record.endpoints[network]["Links"] or ()):
                    if link[1].lower() == name:
                        linked.add((network, link[0]))
        for container in running:
            for network, endpoint in container.record.endpoints.items():
                if network not in own:
                    continue
                by_link = (network, container.name) in linked or (network, container.id) in linked
                if by_link or (not linked and name in {one.lower() for one in endpoint["DNSNames"] or ()}):
                    yield endpoint

    def _name_of(self, name: str, asker: str) -> str:
        parts = name.removesuffix(".in-addr.arpa").split(".")
        address = ".".join(reversed(parts))
        for container in self._containers.all():
            for network, endpoint in container.record.endpoints.items():
                if endpoint["IPAddress"] == address:
                    return f"{container.name}.{network}"
        return ""


def _networks_of(container: Container, address: str) -> list[str]:
    """The user-defined networks of ``container`` if it has ``address``."""
    endpoints = container.record.endpoints
    if not any(endpoint["IPAddress"] == address for endpoint in endpoints.values()):
        return []
    return [name for name, endpoint in endpoints.items() if endpoint["DNSNames"]]


def _question(data: bytes) -> tuple[str, int, int]:
    """(name, type, where the question ends)."""
    labels = []
    at = 12
    while data[at]:
        size = data[at]
        labels.append(data[at + 1 : at + 1 + size].decode("ascii"))
        at += 1 + size
    kind = struct.unpack_from(">H", data, at + 1)[0]
    return ".".join(labels).lower(), kind, at + 5


def _reply(question: bytes, end: int, records: list[tuple[int, bytes]]) -> bytes:
    flags = struct.unpack_from(">H", question, 2)[0]
    head = question[:2] + struct.pack(">HHHHH", 0x8080 | (flags & 0x0100) | _NO_ERROR, 1, len(records), 0, 0)
    body = b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, _TTL, len(data)) + data for kind, data in records)
    return head + question[12:end] + body


def _labels(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def _forward(sock: socket.socket, question: bytes, asker: tuple[str, int]) -> None:
    for server in _servers():
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(_TIMEOUT)
            try:
                upstream.sendto(question, (server, 53))
                _send(sock, upstream.recv(4096), asker)
            except OSError:
                continue
            return
    flags = struct.unpack_from(">H", question, 2)[0]
    refusal = question[:2] + struct.pack(">H", 0x8080 | (flags & 0x0100) | _SERVER_FAILURE) + question[4:]
    _send(sock, refusal, asker)


def _send(sock: socket.socket, data: bytes, to: tuple[str, int]) -> None:
    try:
        sock.sendto(data, to)
    except OSError:
        pass  # the network or the asker is gone


def _servers() -> list[str]:
    try:
        lines = Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]
