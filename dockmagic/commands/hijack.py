"""A hijacked connection: raw bytes both ways after the answer's headers (attach, exec start).

docker-py reads such a stream from the socket below http.client's buffer and loses what arrived together with the
headers. Here the buffer itself is read, so nothing is lost.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import requests

STDOUT, STDERR = 1, 2


class Hijacked:
    """The stream of ``response``, whose connection is no longer HTTP."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response  # holds the connection open
        self.multiplexed = response.headers.get("Content-Type", "") == "application/vnd.docker.multiplexed-stream"
        raw_answer: Any = response.raw
        self._file: Any = raw_answer._fp.fp  # http.client's buffered reader
        raw = self._file.raw
        self._socket: Any = getattr(raw, "_sock", raw)
        with contextlib.suppress(AttributeError, OSError):
            self._socket.settimeout(None)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close_writing(self) -> None:
        """Say that nothing more will be sent, and go on reading."""
        with contextlib.suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_WR)

    def read(self, size: int = 65536) -> bytes:
        """What there is, at most ``size`` bytes; b"" at the end."""
        try:
            data: bytes = self._file.read1(size)
        except (ConnectionResetError, BrokenPipeError, ValueError):
            return b""
        return data

    def frames(self, tty: bool) -> Iterator[tuple[int, bytes]]:
        """(STDOUT or STDERR, bytes) as they come; with a tty everything is STDOUT."""
        if tty:
            while data := self.read():
                yield STDOUT, data
        else:
            yield from demultiplex(self)

    def close(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()


class Chunked:
    """Chunks read as a file: the framed logs of an ordinary answer."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = 65536) -> bytes:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def demultiplex(source: Hijacked | Chunked | BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The frames of docker's multiplexed stream: [stream, 0, 0, 0, length as 4 bytes big-endian] and the bytes.

    A frame's bytes are given as they arrive, so a long frame is not waited for.
    """

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = source.read(count - len(data))
            if not more:
                return b""
            data += more
        return data

    while header := exactly(8):
        stream, length = struct.unpack(">BxxxI", header)
        while length:
            data = source.read(min(length, 65536))
            if not data:
                return
            length -= len(data)
            yield (STDERR if stream == STDERR else STDOUT), data
