"""A build's progress as BuildKit tells it: vertexes, statuses and logs, and their protobuf form.

The messages are ``moby.buildkit.v1.StatusResponse`` of BuildKit's control.proto, as ``POST /build?version=2`` streams
them in ``{"id": "moby.buildkit.trace", "aux": base64}``. The builder makes them, the engine encodes them, the commands
decode them, whichever engine built. Only the fields people look at are kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Vertex:
    """A step. ``name`` as BuildKit's: ``[stage-0 2/3] RUN make``. Times are seconds since the epoch."""

    digest: str
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""


@dataclass
class VertexStatus:
    """Progress inside a step: a layer's bytes, a transfer. ``current`` and ``total`` in bytes."""

    id: str
    vertex: str
    name: str = ""
    current: int = 0
    total: int = 0
    timestamp: float | None = None
    started: float | None = None
    completed: float | None = None


@dataclass
class VertexLog:
    """Bytes a step wrote. ``stream`` 1 is stdout, 2 stderr."""

    vertex: str
    msg: bytes
    stream: int = 1
    timestamp: float | None = None


@dataclass
class VertexWarning:
    """A build check's finding. ``short`` is its one line; lines count from 1 (0: none)."""

    vertex: str
    short: str
    detail: list[str] = field(default_factory=list)
    url: str = ""
    level: int = 1
    line: int = 0


@dataclass
class StatusResponse:
    """One message of the stream."""

    vertexes: list[Vertex] = field(default_factory=list)
    statuses: list[VertexStatus] = field(default_factory=list)
    logs: list[VertexLog] = field(default_factory=list)
    warnings: list[VertexWarning] = field(default_factory=list)


# --- protobuf, as much as these messages need: varints and length-delimited fields ---


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _time(number: int, seconds: float | None) -> bytes:
    if seconds is None:
        return b""
    whole = int(seconds // 1)
    body = _int(1, whole) + _int(2, int((seconds - whole) * 1e9))
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def encode(status: StatusResponse) -> bytes:
    """The protobuf bytes of ``status``."""
    parts = []
    for v in status.vertexes:
        body = _text(1, v.digest) + b"".join(_text(2, i) for i in v.inputs) + _text(3, v.name) + _int(4, v.cached)
        parts.append(_bytes(1, body + _time(5, v.started) + _time(6, v.completed) + _text(7, v.error)))
    for s in status.statuses:
        body = _text(1, s.id) + _text(2, s.vertex) + _text(3, s.name) + _int(4, s.current) + _int(5, s.total)
        parts.append(_bytes(2, body + _time(6, s.timestamp) + _time(7, s.started) + _time(8, s.completed)))
    for entry in status.logs:
        body = _text(1, entry.vertex) + _time(2, entry.timestamp) + _int(3, entry.stream) + _bytes(4, entry.msg)
        parts.append(_bytes(3, body))
    for w in status.warnings:
        body = _text(1, w.vertex) + _int(2, w.level) + _text(3, w.short) + b"".join(_text(4, d) for d in w.detail)
        body += _text(5, w.url)
        if w.line:
            position = _int(1, w.line)
            body += _bytes(7, _bytes(1, position) + _bytes(2, position))
        parts.append(_bytes(4, body))
    return b"".join(parts)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 0:
            yield number, varint()
        elif kind == 2:
            size = varint()
            yield number, data[at : at + size]
            at += size
        elif kind == 1:
            yield number, struct.unpack_from("<Q", data, at)[0]
            at += 8
        elif kind == 5:
            yield number, struct.unpack_from("<I", data, at)[0]
            at += 4
        else:
            raise ValueError(f"protobuf wire type {kind}")


def _to_int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a number was expected")
    return value - (1 << 64) if value >> 63 else value


def _to_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("bytes were expected")
    return value


def _to_text(value: int | bytes) -> str:
    return _to_bytes(value).decode("utf-8", "replace")


def _to_time(value: int | bytes) -> float:
    seconds = nanos = 0
    for number, v in _fields(_to_bytes(value)):
        if number == 1:
            seconds = _to_int(v)
        elif number == 2:
            nanos = _to_int(v)
    return seconds + nanos / 1e9


def _line(value: int | bytes) -> int:
    for number, start in _fields(_to_bytes(value)):
        if number == 1:
            for inner, line in _fields(_to_bytes(start)):
                if inner == 1:
                    return _to_int(line)
    return 0


def decode(data: bytes) -> StatusResponse:
    """The message in ``data``. Raises ValueError or IndexError when it is not one."""
    out = StatusResponse()
    for number, raw in _fields(data):
        body = list(_fields(_to_bytes(raw)))
        if number == 1:
            v = Vertex("")
            for n, value in body:
                if n == 1:
                    v.digest = _to_text(value)
                elif n == 2:
                    v.inputs.append(_to_text(value))
                elif n == 3:
                    v.name = _to_text(value)
                elif n == 4:
                    v.cached = bool(value)
                elif n == 5:
                    v.started = _to_time(value)
                elif n == 6:
                    v.completed = _to_time(value)
                elif n == 7:
                    v.error = _to_text(value)
            out.vertexes.append(v)
        elif number == 2:
            s = VertexStatus("", "")
            for n, value in body:
                if n == 1:
                    s.id = _to_text(value)
                elif n == 2:
                    s.vertex = _to_text(value)
                elif n == 3:
                    s.name = _to_text(value)
                elif n == 4:
                    s.current = _to_int(value)
                elif n == 5:
                    s.total = _to_int(value)
                elif n == 6:
                    s.timestamp = _to_time(value)
                elif n == 7:
                    s.started = _to_time(value)
                elif n == 8:
                    s.completed = _to_time(value)
            out.statuses.append(s)
        elif number == 3:
            entry = VertexLog("", b"")
            for n, value in body:
                if n == 1:
                    entry.vertex = _to_text(value)
                elif n == 2:
                    entry.timestamp = _to_time(value)
                elif n == 3:
                    entry.stream = _to_int(value)
                elif n == 4:
                    entry.msg = _to_bytes(value)
            out.logs.append(entry)
        elif number == 4:
            w = VertexWarning("", "")
            for n, value in body:
                if n == 1:
                    w.vertex = _to_text(value)
                elif n == 2:
                    w.level = _to_int(value)
                elif n == 3:
                    w.short = _to_text(value)
                elif n == 4:
                    w.detail.append(_to_text(value))
                elif n == 5:
                    w.url = _to_text(value)
                elif n == 7:
                    w.line = w.line or _line(value)
            out.warnings.append(w)
    return out
