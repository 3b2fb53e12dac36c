"""Blobs by their sha256: nothing has a name here before its bytes were seen to be right.

On disk: ``blobs/sha256/HEX`` for what is whole, ``ingest/HEX`` for what is on its way. A partial blob stays after a
failure or a crash, and the next :meth:`Content.ingest` of the same digest goes on from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from dockmagic.errors import InvalidParameter, NotFound
from dockmagic.images.files import clear_disk_errors, sync_folder, write_all
from dockmagic.images.reference import check_digest

_CHUNK = 1 << 20


class Content:
    """The content store in the folder ``root``; safe for several threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._ingests = root / "ingest"
        for folder in (self._blobs, self._ingests):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._forget_unnamed()

    def path(self, digest: str) -> Path:
        """Where the blob ``digest`` is or would be. Raises InvalidParameter for what is no sha256 digest."""
        check_digest(digest)
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def size(self, digest: str) -> int:
        """Bytes of the blob. Raises NotFound."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise NotFound(f"blob {digest}: not found") from None

    def open(self, digest: str) -> BinaryIO:
        """The blob's bytes. Raises NotFound. An open blob can be read to its end even after :meth:`remove`."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound(f"blob {digest}: not found") from None

    def read(self, digest: str) -> bytes:
        """All of a small blob (a manifest, a config). Raises NotFound."""
        with self.open(digest) as stream:
            return stream.read()

    def put(self, source: BinaryIO | bytes, digest: str | None = None) -> tuple[str, int]:
        """Keep what ``source`` gives; its digest and size. With ``digest`` it must have that one (InvalidParameter)."""
        with self.ingest(digest) as ingest:
            if ingest.done:
                return str(digest), self.size(str(digest))
            if ingest.offset:  # the source begins at its beginning, a partial blob does not help
                ingest.restart()
            if isinstance(source, bytes):
                ingest.write(source)
            else:
                while chunk := source.read(_CHUNK):
                    ingest.write(chunk)
            return ingest.commit()

    def ingest(self, digest: str | None = None) -> Ingest:
        """A blob on its way in; use it in a ``with`` block. Waits while someone else brings the same digest.

        ``ingest.done`` is true when the blob is there already; else go on writing at ``ingest.offset``.
        """
        if digest is None:
            return Ingest(self, None, self._ingests / f"new-{uuid.uuid4().hex}")
        return Ingest(self, digest, self._ingests / self.path(digest).name)

    def remove(self, digest: str) -> bool:
        """Forget a blob; whether it was there."""
        try:
            self.path(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def digests(self) -> Iterator[str]:
        """Every whole blob."""
        for name in os.listdir(self._blobs):
            yield "sha256:" + name

    def _forget_unnamed(self) -> None:
        """Partial blobs without a digest can't be gone on with: a crash left them (a living one holds its lock)."""
        for name in os.listdir(self._ingests):
            if not name.startswith("new-"):
                continue
            with contextlib.suppress(OSError):
                fd = os.open(self._ingests / name, os.O_RDWR)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(self._ingests / name)
                finally:
                    os.close(fd)


class Ingest:
    """One blob on its way in. Left without :meth:`commit`, the bytes stay for the next try when the digest is known."""

    def __init__(self, content: Content, digest: str | None, path: Path) -> None:
        self._content = content
        self._expected = digest
        self._path = path
        self._fd = -1
        self.offset = 0
        """Bytes that are there already, from this try and those before."""
        self._hash = hashlib.sha256()
        self._lock()

    @property
    def done(self) -> bool:
        """The blob is whole and in the store; nothing is to be written."""
        return self._fd < 0

    def _lock(self) -> None:
        """Open and lock the partial file, unless the blob is (or meanwhile became) whole."""
        while True:
            if self._expected and self._content.has(self._expected):
                return
            with clear_disk_errors(f"write {self._path}"):
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            # Who held the lock may have renamed or removed this file meanwhile: then it is not ours.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(self._path)):
                    self._fd = fd
                    break
            os.close(fd)
        while chunk := os.read(self._fd, _CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)

    def restart(self) -> None:
        """Throw away what is there and begin at offset 0."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.offset = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises DockmagicError when the disk is full."""
        with clear_disk_errors(f"write {self._path}"):
            write_all(self._fd, data)
        self._hash.update(data)
        self.offset += len(data)

    def commit(self) -> tuple[str, int]:
        """Verify, make durable, name: (digest, size). Raises InvalidParameter when the bytes are not the digest's."""
        digest = "sha256:" + self._hash.hexdigest()
        if self._expected and digest != self._expected:
            self._discard()
            raise InvalidParameter(f"unexpected commit digest {digest}, expected {self._expected}")
        with clear_disk_errors(f"write {self._path}"):
            os.fsync(self._fd)
            os.fchmod(self._fd, 0o400)
            os.rename(self._path, self._content.path(digest))
            sync_folder(self._content.path(digest).parent)
        self._close()
        return digest, self.offset

    def _discard(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)  # and with it the lock
            self._fd = -1

    def __enter__(self) -> Ingest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._expected is None and not self.done:
            self._discard()
        self._close()
