"""The files of an archive that is read once, front to back: big ones go straight into the content store.

Nothing is ever written under a name that the archive gives, so no name can do harm; links lead only to other members.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tempfile
from types import TracebackType
from typing import IO, TYPE_CHECKING, BinaryIO

from dockmagic.errors import InvalidParameter
from dockmagic.images.compression import decompressed
from dockmagic.images.reference import check_digest
from dockmagic.images.streams import prefixed
from dockmagic.images.tarformat import HARD_LINK, SYMBOLIC_LINK
from dockmagic.images.tarreader import TarEntry, TarReader

if TYPE_CHECKING:
    from dockmagic.images.store import Store

SMALL = 1 << 20
"""bytes; up to here a file waits in a temporary file, since most small ones turn out not to be needed as blobs"""
_BLOBS = "blobs/sha256/"
_DOCUMENT_LIMIT = 16 << 20
"""bytes of a manifest, an index or a config"""
_MEMBERS_LIMIT = 100_000
_LINKS_LIMIT = 16


class Members:
    """The members of one archive, by path. Blobs that no layer has at the end of its ``with`` block are removed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._content = store.content
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=store.content.root)  # noqa: SIM115 closed in __exit__
        self._small: dict[str, tuple[int, int]] = {}
        self._blobs: dict[str, tuple[str, int]] = {}
        self._links: dict[str, str] = {}
        self._brought: set[str] = set()

    def __enter__(self) -> Members:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()
        for digest in self._brought:
            if self._store.snapshots.layers.by_digest(digest) is None:
                self._content.remove(digest)

    def read(self, stream: BinaryIO) -> None:
        """Read the whole archive, however it is packed. Raises InvalidParameter for what is no tar."""
        with decompressed(prefixed(b"", stream)) as plain:  # so that ``stream`` itself stays open
            reader = TarReader(plain)
            for count, entry in enumerate(reader):
                if count > _MEMBERS_LIMIT:
                    raise InvalidParameter("invalid archive: too many files for an archive of images")
                self._member(reader, entry)
            while plain.read(SMALL):  # what follows the end mark, too: who sends it must not find the door shut
                pass

    def has(self, path: str) -> bool:
        return self._resolve(path) is not None

    def document(self, path: str) -> bytes:
        """All of a small file. Raises InvalidParameter when it is missing or too big."""
        found = self._found(path)
        if self._size(found) > _DOCUMENT_LIMIT:
            raise InvalidParameter(f"invalid archive: {path} is too big")
        if found in self._small:
            return self._spooled(found)
        return self._content.read(self._blobs[found][0])

    def blob(self, path: str) -> tuple[str, int]:
        """(digest, size) of a file as a blob of the content store, where it is put if it is not there yet."""
        found = self._found(path)
        if found in self._small:
            data = self._spooled(found)
            if not self._content.has(_digest(data)):
                self._brought.add(_digest(data))
            digest, size = self._content.put(data, _digest(data))
            self._blobs[found] = (digest, size)
            del self._small[found]
        return self._blobs[found]

    def _member(self, reader: TarReader, entry: TarEntry) -> None:
        path = _normal(os.fsdecode(entry.name))
        if entry.kind == SYMBOLIC_LINK:
            self._links[path] = posixpath.join(posixpath.dirname(path), os.fsdecode(entry.link))
        elif entry.kind == HARD_LINK:
            self._links[path] = os.fsdecode(entry.link)
        elif entry.is_file and entry.size <= SMALL:
            self._add_small(path, reader.read())
        elif entry.is_file:
            self._add_blob(path, reader)

    def _add_small(self, path: str, data: bytes) -> None:
        if path.startswith(_BLOBS) and _digest(data) != _named(path):
            raise InvalidParameter(f"invalid archive: {path} is not what its name says")
        at = self._spool.seek(0, os.SEEK_END)
        self._spool.write(data)
        self._small[path] = (at, len(data))
        self._blobs.pop(path, None)  # of two members with one name the last counts, as in every tar

    def _add_blob(self, path: str, reader: TarReader) -> None:
        named = _named(path)
        self._small.pop(path, None)
        with self._content.ingest(named or None) as ingest:
            if ingest.done:
                self._blobs[path] = (named, self._content.size(named))
                return
            ingest.restart()
            seen = hashlib.sha256()
            for chunk in reader.chunks():
                ingest.write(chunk)
                if not named:
                    seen.update(chunk)
            before = not named and self._content.has(f"sha256:{seen.hexdigest()}")
            digest, size = ingest.commit()
        if not before:
            self._brought.add(digest)
        self._blobs[path] = (digest, size)

    def _spooled(self, path: str) -> bytes:
        at, size = self._small[path]
        self._spool.seek(at)
        return self._spool.read(size)

    def _size(self, found: str) -> int:
        return self._small[found][1] if found in self._small else self._blobs[found][1]

    def _found(self, path: str) -> str:
        found = self._resolve(path)
        if found is None:
            raise InvalidParameter(f"invalid archive: {path} is missing")
        return found

    def _resolve(self, path: str) -> str | None:
        path = _normal(path)
        for _ in range(_LINKS_LIMIT):
            if path in self._small or path in self._blobs:
                return path
            if path not in self._links:
                return None
            path = _normal(self._links[path])
        return None


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path).lstrip("/")


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _named(path: str) -> str:
    """The digest that a path in ``blobs/`` says its file has; "" for any other path. Raises InvalidParameter."""
    if not path.startswith(_BLOBS):
        return ""
    digest = "sha256:" + path[len(_BLOBS) :]
    check_digest(digest)
    return digest
