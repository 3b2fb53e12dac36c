"""One blob on its way to a registry: asked for, mounted from a neighbour, or sent, and gone on with where it broke.

Distribution specification, "Pushing blobs": POST opens an upload, PATCH sends bytes, PUT names the digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from dockmagic.images.registry.failures import BrokenTransfer, Cancelled, RegistryError, RegistryUnreachable
from dockmagic.images.registry.transport import Transport

_CHUNK = 1 << 20
_PIECE = 32 << 20
"""bytes of a PATCH to a server that refuses the whole blob in one (413), as some proxies before registries do"""


@dataclass(frozen=True)
class Blob:
    """What is sent: ``open`` gives the bytes from the beginning, as often as asked."""

    digest: str
    size: int
    open: Callable[[], BinaryIO]


def exists(transport: Transport, digest: str) -> bool:
    """Whether the repository has the blob."""
    try:
        transport.request("HEAD", f"blobs/{digest}").close()
    except RegistryError as error:
        if error.http_status == 404:
            return False
        raise
    return True


class Upload:
    """Sends blobs to the repository of ``transport``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._pieces = False

    def mount(self, digest: str, repository: str) -> bool:
        """Let the registry take the blob from another of its repositories; False when it will not."""
        self._transport.authorizer.want(f"repository:{repository}:pull")
        query = {"mount": digest, "from": repository}
        try:
            response = self._transport.request("POST", "blobs/uploads/", params=query, expect=(201, 202))
        except RegistryError:  # not allowed to read there, or no mounts at all: sending is always possible
            return False
        with response:
            if response.status_code == 201:
                return True
            # it opened an ordinary upload instead, which nobody will use
            location = self._transport.location(response)
        try:
            self._transport.request("DELETE", location, expect=(204, 202, 200), attempts=1).close()
        except (RegistryError, BrokenTransfer, RegistryUnreachable):
            pass  # it ends by itself
        return False

    def send(self, blob: Blob, moved: Callable[[int], None], retrying: Callable[[float], None]) -> None:
        """Send the whole blob. ``moved`` hears how many bytes were sent, ``retrying`` the seconds before a new try."""
        location, at, failures = "", 0, 0
        while True:
            try:
                if not location:
                    location, at = self._begin(), 0
                while at < blob.size:
                    end = min(at + _PIECE, blob.size) if self._pieces else blob.size
                    location = self._patch(location, blob, at, end, moved)
                    at, failures = end, 0
                self._finish(location, blob.digest)
                return
            except RegistryError as error:
                if error.http_status == 413 and not self._pieces:
                    self._pieces, location = True, ""
                    continue
                if error.http_status < 500:
                    raise
                self._pause(error, failures, retrying)
            except (BrokenTransfer, RegistryUnreachable) as error:
                self._pause(error, failures, retrying)
            failures += 1
            location, at = self._where(location)

    def _begin(self) -> str:
        with self._transport.request("POST", "blobs/uploads/", expect=(202,)) as response:
            return self._transport.location(response)

    def _patch(self, location: str, blob: Blob, begin: int, end: int, moved: Callable[[int], None]) -> str:
        headers = {"Content-Type": "application/octet-stream"}
        if begin or end < blob.size:
            headers["Content-Range"] = f"{begin}-{end - 1}"
        parts: list[_Part] = []

        def body() -> _Part:
            parts.append(_Part(blob, begin, end, moved, self._transport))
            return parts[-1]

        try:
            response = self._transport.request("PATCH", location, headers=headers, body=body, expect=(202, 201, 204))
        finally:
            for part in parts:
                part.close()
        with response:
            return self._transport.location(response) if "Location" in response.headers else location

    def _finish(self, location: str, digest: str) -> None:
        headers = {"Content-Length": "0"}
        self._transport.request("PUT", _with_digest(location, digest), headers=headers, expect=(201, 204)).close()

    def _where(self, location: str) -> tuple[str, int]:
        """How much of a broken upload has arrived; a new upload where the registry doesn't say."""
        if not location:
            return "", 0
        try:
            with self._transport.request("GET", location, expect=(204,), attempts=1) as response:
                begin, _, last = response.headers.get("Range", "").removeprefix("bytes=").partition("-")
                if begin == "0" and last.isdigit():
                    # distribution answers 0-0 both for one byte and for none: none is the safe reading
                    at = int(last) + 1 if int(last) else 0
                    return (self._transport.location(response) if "Location" in response.headers else location), at
        except (RegistryError, BrokenTransfer, RegistryUnreachable):
            pass
        return "", 0

    def _pause(self, error: Exception, failures: int, retrying: Callable[[float], None]) -> None:
        patience = self._transport.patience
        if self._transport.stop.is_set():
            raise Cancelled
        if failures + 1 >= patience.attempts:
            raise error
        seconds = patience.delay(failures)
        retrying(seconds)
        if self._transport.stop.wait(seconds):
            raise Cancelled


class _Part:
    """Bytes ``begin`` to ``end`` of a blob as the body of a request: it has a length, and tells how far it was read."""

    def __init__(self, blob: Blob, begin: int, end: int, moved: Callable[[int], None], transport: Transport) -> None:
        self._source = blob.open()
        self._begin, self._at, self._end = begin, 0, end - begin
        self._moved = moved
        self._transport = transport
        self._skip(begin)

    def __len__(self) -> int:
        return self._end - self._at

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(_CHUNK):
            yield data

    def read(self, size: int = -1) -> bytes:
        if self._transport.stop.is_set():
            raise Cancelled
        left = self._end - self._at
        data = self._source.read(left if size < 0 else min(size, left))
        if data:
            self._at += len(data)
            self._moved(self._begin + self._at)
        return data

    def close(self) -> None:
        self._source.close()

    def _skip(self, count: int) -> None:
        if self._source.seekable():
            self._source.seek(count)
            return
        while count:
            skipped = len(self._source.read(min(_CHUNK, count)))
            if not skipped:
                raise BrokenTransfer("the layer ends early")
            count -= skipped


def _with_digest(location: str, digest: str) -> str:
    from urllib.parse import quote

    return f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe='')}"
