"""A request, parsed: method, path, version, query, headers, body, and the watch on its client."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from dockmagic.engine.http.wire import BadRequest, ChunkedBody, FixedBody, Wire
from dockmagic.errors import InvalidParameter

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FALSE = {"", "0", "no", "false", "none"}  # moby, httputils.BoolValue


class Hangup:
    """Whether the client is still there. ``gone`` is set once it closed its connection; callbacks run then."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.descriptor = -1
        """The connection's number while it is answered by a stream; poll() on it with no events tells of its end."""

    def then(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` (short, from another thread) when the client goes; at once if it has."""
        with self._lock:
            if not self.gone.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def trigger(self) -> None:
        with self._lock:
            self.gone.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Request:
    """One request of a client's. ``version`` is the API version asked for, as (major, minor)."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: FixedBody | ChunkedBody) -> None:
        self.method = method
        path, _, query = target.partition("?")
        self.path = path
        self.headers = headers
        self.query: dict[str, list[str]] = {}
        for key, value in parse_qsl(query, keep_blank_values=True):
            self.query.setdefault(key, []).append(value)
        self.raw_body = body
        self.body = io.BufferedReader(body, 256 * 1024)
        self.version: tuple[int, int] = (0, 0)
        self.parameters: dict[str, str] = {}
        self.hangup = Hangup()

    def text(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str, default: bool = False) -> bool:
        """A query parameter as moby reads booleans."""
        values = self.query.get(name)
        return values[0].strip().lower() not in _FALSE if values else default

    def number(self, name: str, default: int = 0) -> int:
        """A query parameter as a whole number. Raises InvalidParameter."""
        value = self.text(name)
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise InvalidParameter(f'strconv.Atoi: parsing "{value}": invalid syntax') from None

    def filters(self) -> dict[str, list[str]]:
        """The ``filters`` parameter: name to values, from either of its two JSON forms. Raises InvalidParameter."""
        value = self.text("filters")
        if not value:
            return {}
        try:
            decoded = json.loads(value)
            if not isinstance(decoded, dict):
                raise ValueError
            result = {}
            for key, values in decoded.items():
                if isinstance(values, dict):
                    result[key] = [name for name, on in values.items() if on]
                elif isinstance(values, list):
                    result[key] = [str(item) for item in values]
                else:
                    raise ValueError
        except ValueError:
            raise InvalidParameter("invalid filter") from None
        return result

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name, default)

    def has_body(self) -> bool:
        return isinstance(self.raw_body, ChunkedBody) or not self.raw_body.finished

    def json(self) -> Any:
        """The body as JSON, or None when there is none. Raises InvalidParameter with moby's words."""
        if not self.has_body():
            return None
        kind = self.header("content-type").split(";", 1)[0].strip().lower()
        if kind != "application/json":
            raise InvalidParameter(
                f"unsupported Content-Type header ({self.header('content-type')}): must be 'application/json'"
            )
        data = self.body.read(16 * 1024 * 1024)
        if not data.strip():
            raise InvalidParameter("invalid JSON: got EOF while reading request body")
        try:
            return json.loads(data)
        except ValueError as error:
            raise InvalidParameter(f"invalid JSON: {_as_go(error, data)}") from None

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one when there is no body."""
        decoded = self.json()
        if decoded is None:
            return {}
        if not isinstance(decoded, dict):
            raise InvalidParameter("invalid JSON: json: cannot unmarshal into the request's object")
        return decoded


def _as_go(error: ValueError, data: bytes) -> str:
    """Go's words for what is wrong with ``data``."""
    if isinstance(error, json.JSONDecodeError):
        if error.msg == "Extra data":
            return "unexpected content after JSON"
        rest = error.doc[error.pos :].lstrip()
        if not rest or error.msg.startswith("Unterminated"):
            return "unexpected EOF"
        if error.msg.startswith("Expecting property name"):
            return f"invalid character {rest[0]!r} looking for beginning of object key string"
        return f"invalid character {rest[0]!r} looking for beginning of value"
    return "invalid UTF-8" if data else "unexpected EOF"


def read_request(wire: Wire) -> tuple[Request, bool] | None:
    """The next request on ``wire`` and whether the connection stays open after it; None when the client is done.

    Raises BadRequest.
    """
    head = wire.read_head()
    if head is None:
        return None
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not parts[2].startswith(b"HTTP/1."):
        raise BadRequest("malformed HTTP request")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequest("malformed MIME header line")
        key = name.decode("ascii").lower()
        text = value.strip(b" \t").decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    if parts[2] != b"HTTP/1.0" and "host" not in headers:
        raise BadRequest("missing required Host header")
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection if parts[2] != b"HTTP/1.0" else "keep-alive" in connection
    target = parts[1].decode("latin-1")
    if target.startswith("http://"):  # absolute form
        target = "/" + target[7:].partition("/")[2]
    if not target.startswith("/"):
        raise BadRequest("malformed request target")
    return Request(parts[0].decode("ascii"), target, headers, _body(wire, headers)), keep


def _body(wire: Wire, headers: Mapping[str, str]) -> FixedBody | ChunkedBody:
    expects = headers.get("expect", "").lower() == "100-continue"
    encoding = headers.get("transfer-encoding")
    if encoding is not None:
        if encoding.lower() != "chunked":
            raise BadRequest("unsupported transfer encoding")
        return ChunkedBody(wire, expects_continue=expects)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest("bad Content-Length")
    return FixedBody(wire, int(length), expects_continue=expects)


def unquote_path(path: str) -> str:
    """A path's percent escapes decoded."""
    return unquote(path) if "%" in path else path
