"""Published ports: sockets of the machine's that a relay listens on for a container."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from dockmagic.errors import DockmagicError
from dockmagic.runtime import messages
from dockmagic.runtime.networks.relay import SOCKET


@dataclass(frozen=True)
class Port:
    """``host_address`` "" is every address, ``host_port`` 0 one that is free."""

    container_port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    host_address: str = ""
    host_port: int = 0


class Relays(Protocol):
    """What this needs of the runtime."""

    def prepare_relay(self, folder: Path, network: str = "") -> socket.socket: ...


class Published:
    """The published ports of one running container. They end with its shim, or with :meth:`close`."""

    def __init__(self, ports: tuple[Port, ...], control: socket.socket) -> None:
        self.ports = ports
        """As asked for, with the host's ports filled in; one for IPv4 and one for IPv6 where none was named."""
        self._control = control

    def close(self) -> None:
        """Take the ports back."""
        end_relay(self._control)


def publish(
    relays: Relays,
    folder: Path,
    target: str,
    ports: Sequence[Port],
    *,
    network: str = "",
    shim: Path | None = None,
    reach: Callable[[str, int], tuple[str, int]] | None = None,
) -> Published:
    """Listen on the machine's ports and carry on to ``target``, as seen from the namespace in file ``network``.

    ``folder`` is the relay's own; ``shim`` the folder of the container's shim, with which it ends; ``reach`` tells
    where an address and port of a container really are. Raises DockmagicError with docker's words when a port is taken.
    """
    listeners: list[tuple[Port, socket.socket]] = []
    try:
        for port in ports:
            listeners += _bind(port)
        control = relays.prepare_relay(folder, network)
        try:
            for port, listener in listeners:
                place = reach(target, port.container_port) if reach is not None else (target, port.container_port)
                request = {"op": "listen", "protocol": port.protocol, "target": list(place)}
                ask(control, request, listener.fileno())
            if shim is not None:
                ask(control, {"op": "until", "folder": str(shim)})
        except BaseException:
            end_relay(control)
            raise
    finally:
        for _port, listener in listeners:
            listener.close()
    return Published(tuple(port for port, _listener in listeners), control)


def find_relay(folder: Path) -> socket.socket | None:
    """The control connection of the relay that an earlier engine left in ``folder``."""
    try:
        return messages.connect(str(folder), SOCKET)
    except OSError:
        return None


def end_relay(control: socket.socket) -> None:
    """End a relay and wait until its ports are free again."""
    try:
        messages.send(control, {"op": "end"})
        while messages.receive(control) is not None:
            pass
    except OSError:
        pass  # it has ended already
    control.close()


def ask(control: socket.socket, request: messages.Message, fd: int = -1) -> None:
    """One request to a relay. Raises DockmagicError with what it answered."""
    try:
        messages.send(control, request, (fd,) if fd >= 0 else ())
        received = messages.receive(control)
    except OSError:
        received = None
    if received is None:
        raise DockmagicError("the relay of published ports has ended")
    if "error" in received[0]:
        raise DockmagicError(str(received[0]["error"]))


def _bind(port: Port) -> list[tuple[Port, socket.socket]]:
    """The socket, or for every address one for each IP version, on the same port."""
    if port.host_address:
        bound = _bind_one(port, port.host_address)
        return [(replace(port, host_port=bound.getsockname()[1]), bound)]
    first = _bind_one(port, "0.0.0.0")
    number = first.getsockname()[1]
    found = [(replace(port, host_address="0.0.0.0", host_port=number), first)]
    if socket.has_ipv6:
        try:
            second = _bind_one(replace(port, host_port=number), "::")
            found.append((replace(port, host_address="::", host_port=number), second))
        except DockmagicError:
            pass  # no IPv6 on this machine, or somebody's service on it
    return found


def _bind_one(port: Port, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    where = f"[{address}]" if family == socket.AF_INET6 else address
    try:
        sock = socket.socket(family, kind)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port.protocol == "tcp":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port.host_port))
            if port.protocol == "tcp":
                sock.listen()  # only now is a port that somebody else listens on refused
        except BaseException:
            sock.close()
            raise
    except PermissionError as error:
        raise DockmagicError(
            f"failed to bind host port for {where}:{port.host_port}/{port.protocol}: permission denied"
        ) from error
    except OSError as error:
        text = "address already in use" if error.errno == 98 else (error.strerror or str(error)).lower()  # EADDRINUSE
        raise DockmagicError(
            f"failed to bind host port for {where}:{port.host_port}/{port.protocol}: {text}"
        ) from error
    return sock
