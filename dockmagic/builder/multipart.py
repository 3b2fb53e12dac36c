"""A build in one request: context, secrets, named contexts and the rest as ``multipart/form-data`` (RFC 7578).

BuildKit's clients bring these by a session of gRPC over the hijacked connection. Ours send parts::

    secret         filename=ID       the secret
    named-context  filename=NAME     a tar, or text: a URL
    ssh            filename=ID       the path of an agent's socket
    cache-from, cache-to             as on the command line
    output                           JSON: {"type": "local", "dest": "/…"}
    attribute      filename=NAME     a frontend attribute (add-hosts, hostname, …)
    context                          the context's tar, or a bare Dockerfile; comes last, for it is read as it comes
"""

from __future__ import annotations

import email.message
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dockmagic.builder.context import unlinked
from dockmagic.builder.request import BuildRequest
from dockmagic.errors import InvalidParameter

_CHUNK = 1 << 18
_LONGEST_HEAD = 16 << 10
LONGEST_SECRET = 500 << 10
"""bytes; BuildKit's own limit (session/secrets)"""
_URL = re.compile(rb"[a-z][a-z0-9+.-]*:[^\0-\x1f]*\s*")


def boundary_of(content_type: str) -> str:
    """The boundary of a Content-Type; "" when it is no ``multipart/form-data``."""
    message = email.message.Message()
    message["content-type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        return ""
    return str(message.get_param("boundary") or "")


def fill(request: BuildRequest, stream: BinaryIO, boundary: str, folder: Path) -> None:
    """Put what the parts say into the request. ``folder`` takes named contexts, in files without a name.

    The request's ``context`` reads on in ``stream``. Raises InvalidParameter for what is no such body.
    """
    for part in Parts(stream, boundary):
        if part.name == "context":
            request.context = io.BufferedReader(part, _CHUNK)
            return
        _one(request, part, folder)


def _one(request: BuildRequest, part: Part, folder: Path) -> None:
    name, key = part.name, part.filename
    if name == "named-context":
        head = part.read(1024)
        if len(head) < 1024 and _URL.fullmatch(head):
            request.named_contexts[key] = head.decode().strip()
            return
        file = open(unlinked(folder, _all(head, part)), "rb")  # noqa: SIM115 - the builder reads it later
        file.seek(0)
        request.named_contexts[key] = file
        return
    value = part.read(LONGEST_SECRET + 1)
    if len(value) > LONGEST_SECRET:
        raise InvalidParameter(f"{name} {key} is too big, at most {LONGEST_SECRET} bytes")
    if name == "secret":
        request.secrets[key] = value
        return
    text = value.decode("utf-8", "surrogateescape")
    if name == "ssh":
        request.ssh[key] = text
    elif name == "attribute":
        request.attributes[key] = text
    elif name == "cache-from":
        request.cache_from.append(text)
    elif name == "cache-to":
        request.cache_to.append(text)
    elif name == "output":
        request.outputs.append(_output(text))
    else:
        raise InvalidParameter(f"unknown part {name} in the build request")


def _output(text: str) -> dict[str, str]:
    try:
        values = json.loads(text)
    except ValueError:
        raise InvalidParameter("output is no JSON") from None
    if not isinstance(values, dict):
        raise InvalidParameter("output is no JSON object")
    return {str(key): str(value) for key, value in values.items()}


def _all(head: bytes, part: Part) -> Iterator[bytes]:
    yield head
    while chunk := part.read(_CHUNK):
        yield chunk


@dataclass
class _Head:
    name: str
    filename: str


class Parts:
    """The parts of a body, in order; what is left of one is skipped when the next is asked for."""

    def __init__(self, stream: BinaryIO, boundary: str) -> None:
        if not re.fullmatch(r"[0-9A-Za-z'()+_,./:=? -]{1,70}", boundary):
            raise InvalidParameter("invalid multipart boundary")
        self._stream = stream
        self._mark = b"\r\n--" + boundary.encode()
        self._buffer = b"\r\n"  # so that the first boundary looks like the others
        self._ended = False

    def __iter__(self) -> Iterator[Part]:
        self._skip()
        while not self._last():
            head = self._head()
            part = Part(self, head.name, head.filename)
            yield part
            part.close()
            self._skip()

    def take(self, size: int) -> bytes:
        """Up to ``size`` bytes of the current part; none at its end."""
        while True:
            found = self._buffer.find(self._mark)
            safe = found if found >= 0 else len(self._buffer) - len(self._mark)
            if safe > 0:
                data, self._buffer = self._buffer[: min(safe, size)], self._buffer[min(safe, size) :]
                return data
            if found == 0:
                return b""
            self._more()

    def _skip(self) -> None:
        while self.take(_CHUNK):
            pass
        self._buffer = self._buffer[len(self._mark) :]

    def _last(self) -> bool:
        """After a boundary: whether it was the closing one."""
        while len(self._buffer) < 2:
            self._more()
        return self._buffer.startswith(b"--")

    def _head(self) -> _Head:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise InvalidParameter("malformed multipart body")
            self._more()
        message = email.message_from_bytes(self._buffer[:end].lstrip(b"\r\n"))
        self._buffer = self._buffer[end + 4 :]
        name = message.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise InvalidParameter("a part of the build request has no name")
        return _Head(name, message.get_filename() or "")

    def _more(self) -> None:
        chunk = self._stream.read(_CHUNK)
        if not chunk:
            raise InvalidParameter("unexpected EOF")
        self._buffer += chunk


class Part(io.RawIOBase):
    """One part's data, to be read once."""

    def __init__(self, parts: Parts, name: str, filename: str) -> None:
        super().__init__()
        self._parts = parts
        self.name = name
        self.filename = filename

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:  # type: ignore[no-untyped-def]  # a Buffer, which typing can't name in 3.10
        data = self._parts.take(len(target))
        target[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Exactly ``size`` bytes unless the part ends before; all of it without a size."""
        found = bytearray()
        while (size < 0 or len(found) < size) and (data := self._parts.take(_CHUNK if size < 0 else size - len(found))):
            found += data
        return bytes(found)
