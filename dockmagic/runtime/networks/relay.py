"""The relay: a process that accepts connections in one network namespace and carries them on in another.

One serves a container's published ports and lives as long as its shim; one serves a rootless network's connections
outward. It is forked by the zygote and outlives the engine, as shims do. A socket keeps the namespace it was made in:
listeners come from the engine as descriptors, and what the relay itself opens is in its own namespace (or in the one it
was told to enter).

TCP is spliced through pipes, without a copy to user space. UDP keeps one socket a client, for :data:`UDP_IDLE` seconds.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from dockmagic.runtime import libc, messages
from dockmagic.runtime.loop import ERROR, HANGUP, READ, WRITE, Loop

SOCKET = "relay.sock"
UDP_IDLE = 90.0
_PIPE = 1 << 18
_BACKLOG = 128
_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h
_SPLICE_NONBLOCK = 2
_F_SETPIPE_SZ = 1031  # linux/fcntl.h

Target = tuple[str, int]


class _Direction:
    """One way of a connection: from a socket through a pipe to the other socket."""

    def __init__(self) -> None:
        self.near, self.far = os.pipe()
        try:
            fcntl.fcntl(self.far, _F_SETPIPE_SZ, _PIPE)
        except OSError:
            pass  # this user's pipes are at their limit: smaller ones do
        self.waiting = 0
        self.ended = False
        self.closed = False

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Move what can be moved. Raises OSError when a side is broken."""
        while True:
            moved = False
            if not self.ended and not self.waiting:
                try:
                    count = os.splice(source.fileno(), self.far, _PIPE, flags=_SPLICE_NONBLOCK)
                    self.ended = count == 0
                    self.waiting += count
                    moved = count > 0
                except BlockingIOError:
                    pass
            if self.waiting:
                try:
                    count = os.splice(self.near, sink.fileno(), self.waiting, flags=_SPLICE_NONBLOCK)
                    self.waiting -= count
                    moved = moved or count > 0
                except BlockingIOError:
                    pass
            if not moved:
                break
        if self.ended and not self.waiting and not self.closed:
            self.closed = True
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        os.close(self.near)
        os.close(self.far)


class _Connection:
    """A client and the target it is carried to."""

    def __init__(self, loop: Loop, client: socket.socket, target: Target) -> None:
        self._loop = loop
        self._client = client
        self._target = socket.socket(_family(target[0]), socket.SOCK_STREAM)
        self._connected = False
        self._out: _Direction | None = None
        self._back: _Direction | None = None
        for sock in (client, self._target):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self._target.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            self._refuse()
            return
        loop.add(self._target.fileno(), WRITE, self._event)

    def _refuse(self) -> None:
        """As if the client had connected to a closed port: a reset."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def _event(self, mask: int) -> None:
        if not self._connected:
            if self._target.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._refuse()
                return
            self._connected = True
            try:
                self._out, self._back = _Direction(), _Direction()
            except OSError:  # out of descriptors
                self._refuse()
                return
            self._loop.add(self._client.fileno(), READ, self._event)
        out, back = self._out, self._back
        assert out is not None and back is not None
        try:
            out.pump(self._client, self._target)
            back.pump(self._target, self._client)
        except OSError:
            self._close()
            return
        if (out.closed and back.closed) or (mask & ERROR):
            self._close()
            return
        self._want(self._client, out, back)
        self._want(self._target, back, out)

    def _want(self, sock: socket.socket, reads: _Direction, writes: _Direction) -> None:
        # Nothing more is read while something waits: a pipe can be full of small pieces long before its size is reached
        mask = READ if not (reads.ended or reads.waiting) else 0
        self._loop.watch(sock.fileno(), mask | (WRITE if writes.waiting else 0), self._event)

    def _close(self) -> None:
        for sock in (self._client, self._target):
            if sock.fileno() >= 0:
                self._loop.remove(sock.fileno())
                sock.close()
        for direction in (self._out, self._back):
            if direction is not None:
                direction.close()
        self._out = self._back = None


class _Datagrams:
    """A UDP port: a socket toward the target for each client."""

    def __init__(self, loop: Loop, listener: socket.socket, target: Target) -> None:
        self._loop = loop
        self._listener = listener
        self._target = target
        self._clients: dict[Any, tuple[socket.socket, list[float]]] = {}

    def accept(self, _mask: int) -> None:
        try:
            data, client = self._listener.recvfrom(1 << 16)
        except OSError:
            return  # nothing after all, or an ICMP error of an earlier answer
        known = self._clients.get(client)
        if known is None:
            upstream = socket.socket(_family(self._target[0]), socket.SOCK_DGRAM)
            upstream.setblocking(False)
            upstream.connect(self._target)
            known = self._clients[client] = (upstream, [0.0])
            self._loop.add(upstream.fileno(), READ, lambda _mask: self._answer(client))
        known[1][0] = time.monotonic()
        try:
            known[0].send(data)
        except OSError:
            pass  # refused: the client hears nothing, as with UDP

    def _answer(self, client: Any) -> None:
        upstream, used = self._clients[client]
        try:
            data = upstream.recv(1 << 16)
            self._listener.sendto(data, client)
            used[0] = time.monotonic()
        except OSError:
            pass

    def expire(self, now: float) -> None:
        for client, (upstream, used) in list(self._clients.items()):
            if now - used[0] > UDP_IDLE:
                self._loop.remove(upstream.fileno())
                upstream.close()
                del self._clients[client]


class Relay:
    """The process. Control messages, each one packet:

    ``{"op": "listen", "protocol": "tcp"|"udp", "target": [address, port]}`` with a bound socket; for TCP the target
    may be null: where the client itself wanted to go, before a firewall sent it here. ``{"op": "until", "folder": …}``:
    end when the shim of that folder does. ``{"op": "end"}``. Each is answered by ``{}`` or ``{"error": …}``.
    """

    def __init__(self, folder: str, network: str, control: socket.socket) -> None:
        libc.set_name("dockmagic-relay")
        self._loop = Loop()
        self._over = False
        self._shim: socket.socket | None = None
        self._datagrams: list[_Datagrams] = []
        self._controls = 0
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        os.makedirs(folder, exist_ok=True)
        self._path = os.path.join(folder, SOCKET)
        self._listener = messages.listen(folder, SOCKET)
        self._loop.add(self._listener.fileno(), READ, lambda _mask: self._add_control(self._listener.accept()[0]))
        self._kept: list[socket.socket] = []
        if network:
            fd = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(fd, libc.CLONE_NEWNET)
            os.close(fd)
        self._add_control(control)

    def run(self) -> None:
        while not self._over:
            self._loop.turn(time.monotonic() + UDP_IDLE / 3 if self._datagrams else None)
            now = time.monotonic()
            for datagrams in self._datagrams:
                datagrams.expire(now)
        try:
            os.unlink(self._path)
        except OSError:
            pass

    def _add_control(self, sock: socket.socket) -> None:
        self._controls += 1
        self._loop.add(sock.fileno(), READ, lambda _mask: self._request(sock))

    def _request(self, sock: socket.socket) -> None:
        received = messages.receive(sock)
        if received is None:
            self._loop.remove(sock.fileno())
            sock.close()
            self._controls -= 1
            # Without an engine and without a shim to live for there is no reason to stay
            self._over = self._over or (self._shim is None and self._controls == 0)
            return
        message, fds = received
        try:
            answer = self._operate(message, fds)
        except OSError as error:
            answer = {"error": error.strerror or str(error)}
        try:
            messages.send(sock, answer)
        except OSError:
            pass  # its hang-up comes next

    def _operate(self, message: messages.Message, fds: list[int]) -> messages.Message:
        operation = message["op"]
        if operation == "listen":
            target = message["target"]
            self._listen(message["protocol"], socket.socket(fileno=fds[0]), (target[0], target[1]) if target else None)
        elif operation == "until":
            self._shim = messages.connect(message["folder"], messages.SHIM_SOCKET)
            self._loop.add(self._shim.fileno(), 0, self._shim_ended)
        elif operation == "end":
            self._over = True
        return {}

    def _shim_ended(self, mask: int) -> None:
        self._over = self._over or bool(mask & (HANGUP | ERROR))

    def _listen(self, protocol: str, listener: socket.socket, target: Target | None) -> None:
        listener.setblocking(False)
        self._kept.append(listener)
        if protocol == "udp":
            assert target is not None
            datagrams = _Datagrams(self._loop, listener, target)
            self._datagrams.append(datagrams)
            self._loop.add(listener.fileno(), READ, datagrams.accept)
            return
        listener.listen(_BACKLOG)
        choose = _wanted if target is None else _always(target)
        self._loop.add(listener.fileno(), READ, lambda _mask: self._accept(listener, choose))

    def _accept(self, listener: socket.socket, choose: Callable[[socket.socket], Target]) -> None:
        for _ in range(_BACKLOG):
            try:
                client = listener.accept()[0]
            except OSError:  # no more waiting; or out of descriptors: those waiting are taken later
                return
            try:
                _Connection(self._loop, client, choose(client))
            except OSError:
                client.close()


def _always(target: Target) -> Callable[[socket.socket], Target]:
    return lambda _client: target


def _wanted(client: socket.socket) -> Target:
    """Where a redirected connection was going."""
    _family_number, port, address = struct.unpack("=HH4s8x", client.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
    return socket.inet_ntoa(address), socket.ntohs(port)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
