"""A connection's bytes: buffered reading that can be handed over whole, and the bodies of requests."""

from __future__ import annotations

import io
import socket

_CHUNK = 256 * 1024


class BadRequest(Exception):
    """The bytes are not HTTP; the connection can't be used any further."""


class ClientGone(Exception):
    """The client closed its connection while it was being answered."""


class Wire:
    """What is read from ``sock`` but not used yet stays in one buffer, so a hijack loses nothing."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()

    def read_head(self, limit: int = 64 * 1024) -> bytes | None:
        """A request's bytes up to its empty line, without it. None when the client is done.

        Raises BadRequest when the head is longer than ``limit`` bytes or ends in the middle.
        """
        searched = 0
        while True:
            while self._buffer[:2] == b"\r\n":  # RFC 9112, 2.2: an empty line before the request line is ignored
                del self._buffer[:2]
            end = self._buffer.find(b"\r\n\r\n", max(0, searched - 3))
            if end >= 0:
                head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return head
            searched = len(self._buffer)
            if searched > limit:
                raise BadRequest("request header fields too large")
            if not self._fill():
                if self._buffer:
                    raise BadRequest("unexpected end of the request")
                return None

    def readline(self, limit: int = 4096) -> bytes:
        """A line without its end. Raises BadRequest when it is longer than ``limit`` or the client ends in it."""
        while True:
            end = self._buffer.find(b"\n", 0, limit)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return line.rstrip(b"\r")
            if len(self._buffer) >= limit or not self._fill():
                raise BadRequest("malformed chunked encoding")

    def read_into(self, target: memoryview) -> int:
        """Up to ``len(target)`` bytes; 0 at the end of what the client sends."""
        if self._buffer:
            size = min(len(self._buffer), len(target))
            target[:size] = self._buffer[:size]
            del self._buffer[:size]
            return size
        try:
            return self.sock.recv_into(target)
        except ConnectionError:
            return 0

    def take_rest(self) -> bytes:
        """What is read ahead and now belongs to whoever takes the connection over."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``. Raises ClientGone."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise ClientGone from error

    def _fill(self) -> bool:
        try:
            data = self.sock.recv(_CHUNK)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)


class _Body(io.RawIOBase):
    """A request's body, read from the wire as it is asked for. ``finished`` once its end has been read."""

    def __init__(self, wire: Wire, *, expects_continue: bool = False) -> None:
        self._wire = wire
        self._expects_continue = expects_continue
        self.finished = False

    def readable(self) -> bool:
        return True

    def _begin(self) -> None:
        if self._expects_continue:
            self._expects_continue = False
            self._wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")


class FixedBody(_Body):
    """A body of ``length`` bytes (Content-Length)."""

    def __init__(self, wire: Wire, length: int, *, expects_continue: bool = False) -> None:
        super().__init__(wire, expects_continue=expects_continue)
        self._left = length
        self.finished = length == 0

    def readinto(self, target) -> int:  # type: ignore[no-untyped-def]  # a Buffer, which typing can't name in 3.10
        if not self._left or not len(target):
            return 0
        self._begin()
        size = self._wire.read_into(memoryview(target)[: self._left])
        if not size:
            raise BadRequest("unexpected EOF")
        self._left -= size
        self.finished = self._left == 0
        return size


class ChunkedBody(_Body):
    """A body in chunks (RFC 9112, 7.1); trailers are read and dropped."""

    def __init__(self, wire: Wire, *, expects_continue: bool = False) -> None:
        super().__init__(wire, expects_continue=expects_continue)
        self._left = 0

    def readinto(self, target) -> int:  # type: ignore[no-untyped-def]  # a Buffer, which typing can't name in 3.10
        if self.finished or not len(target):
            return 0
        self._begin()
        if not self._left and not self._next_chunk():
            return 0
        size = self._wire.read_into(memoryview(target)[: self._left])
        if not size:
            raise BadRequest("unexpected EOF")
        self._left -= size
        if not self._left and self._wire.readline():
            raise BadRequest("malformed chunked encoding")
        return size

    def _next_chunk(self) -> bool:
        size = self._wire.readline().split(b";", 1)[0].strip()
        if not size or len(size) > 16 or not all(c in b"0123456789abcdefABCDEF" for c in size):
            raise BadRequest("invalid byte in chunk length")
        self._left = int(size, 16)
        if not self._left:
            while self._wire.readline():
                pass
            self.finished = True
        return self._left > 0
