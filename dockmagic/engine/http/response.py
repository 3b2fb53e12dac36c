"""The answers a route can give: a whole one, a stream, or the connection itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def encode_json(value: Any) -> bytes:
    """JSON as Go's encoder writes it: no spaces, ``<``, ``>`` and ``&`` escaped, a newline at the end."""
    return (json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPES) + "\n").encode(
        "utf-8", "surrogateescape"
    )


class Sink(Protocol):
    """Where a stream's bytes go. One ``write`` is one chunk."""

    def write(self, data: bytes) -> None:
        """Send ``data`` now. Raises ClientGone."""
        ...


@dataclass
class Response:
    """A whole answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Stream:
    """An answer whose body ``produce`` writes, in chunks.

    ``lazy`` holds the status back until the first write, so that an error before it still becomes an error's status;
    otherwise the headers go out at once, as clients that wait for them need.
    """

    produce: Callable[[Sink], None]
    content_type: str = "application/json"
    lazy: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Hijack:
    """The connection becomes a raw stream: ``run`` gets the socket and what the client has already sent."""

    run: Callable[[socket.socket, bytes], None]
    content_type: str = "application/vnd.docker.raw-stream"


Answer = Response | Stream | Hijack


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` as a JSON answer."""
    return Response(status, encode_json(value), {"Content-Type": "application/json", **(headers or {})})


def no_content() -> Response:
    """204: done, nothing to tell."""
    return Response(204)


def stream_of(chunks: Iterable[bytes], content_type: str, *, lazy: bool = False) -> Stream:
    """A stream of an iterable's items."""

    def produce(sink: Sink) -> None:
        for chunk in chunks:
            sink.write(chunk)

    return Stream(produce, content_type, lazy=lazy)


class JsonMessages:
    """Docker's JSON message stream on a sink: one object a chunk."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def __call__(self, message: Mapping[str, Any]) -> None:
        self._sink.write(encode_json(message)[:-1] + b"\r\n")
