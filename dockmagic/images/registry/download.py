"""One blob as a readable stream that survives broken connections: it goes on where it broke, by a Range request."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from dockmagic.images.registry.failures import (
    BrokenTransfer,
    Cancelled,
    RegistryError,
    RegistryUnreachable,
    from_network,
)
from dockmagic.images.registry.transport import Transport

if TYPE_CHECKING:
    import requests
    from _typeshed import WriteableBuffer

CHUNK = 256 << 10
"""bytes asked of the connection at once"""


class BlobStream(io.RawIOBase):
    """The bytes of the blob ``digest``; who reads must verify them.

    ``size`` is what the manifest says (0: not known); ``offset`` is where to begin. ``moved`` hears how many bytes have
    come; ``retrying`` hears how many seconds pass before the next attempt.
    """

    def __init__(
        self,
        transport: Transport,
        digest: str,
        size: int,
        moved: Callable[[int], None] | None = None,
        retrying: Callable[[float], None] | None = None,
        offset: int = 0,
    ) -> None:
        super().__init__()
        self._transport = transport
        self._digest = digest
        self._size = size
        self._moved = moved or (lambda current: None)
        self._retrying = retrying or (lambda seconds: None)
        self._response: requests.Response | None = None
        self._at = offset
        self._failures = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._next(min(len(view), CHUNK))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, fewer where fewer have come; b"" at the end."""
        if size is not None and size >= 0:
            return self._next(min(size, CHUNK))
        parts = []
        while part := self._next(CHUNK):
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
        super().close()

    def _next(self, size: int) -> bytes:
        while True:
            if self._transport.stop.is_set():
                raise Cancelled
            if self._size and self._at >= self._size:
                return b""
            try:
                data = self._receive(size)
            except (BrokenTransfer, RegistryError, RegistryUnreachable) as error:
                self._pause(error)
                continue
            if data:
                self._failures = 0
                self._at += len(data)
                self._moved(self._at)
                return data
            if not self._size or self._at >= self._size:
                return b""
            self._pause(BrokenTransfer("unexpected EOF"))

    def _receive(self, size: int) -> bytes:
        if self._response is None:
            self._response = self._open()
        try:
            return self._response.raw.read(size, decode_content=False) or b""
        except Exception as error:  # urllib3's, http.client's and ssl's: all mean that the connection broke
            raise from_network("GET", self._response.url, error) from None

    def _open(self) -> requests.Response:
        """Ask for the rest. A server without ranges sends all again; what is known already is read past."""
        headers = {"Accept-Encoding": "identity"}
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
        response = self._transport.request(
            "GET", f"blobs/{self._digest}", headers=headers, expect=(200, 206), attempts=1
        )
        if response.status_code == 200 or not self._at:
            past = self._at
            while past:
                skipped = len(response.raw.read(min(past, CHUNK), decode_content=False))
                if not skipped:
                    response.close()
                    raise BrokenTransfer("unexpected EOF")
                past -= skipped
            return response
        begin = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if begin != str(self._at):
            response.close()
            raise BrokenTransfer("the registry sent another range than the one asked for")
        return response

    def _pause(self, error: BrokenTransfer | RegistryError | RegistryUnreachable) -> None:
        """Wait before the next attempt; give up after too many failures in a row, or where asking again can't help."""
        if self._response is not None:
            self._response.close()
            self._response = None
        permanent = isinstance(error, RegistryError) and error.http_status < 500
        if permanent or isinstance(error, Cancelled) or self._failures + 1 >= self._transport.patience.attempts:
            raise error
        seconds = self._transport.patience.delay(self._failures)
        self._failures += 1
        self._retrying(seconds)
        if self._transport.stop.wait(seconds):
            raise Cancelled
