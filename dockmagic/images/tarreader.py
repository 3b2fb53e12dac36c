"""Reading a tar as a stream of entries. What an entry does to a folder is untar.py's business."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from dockmagic.images import tarformat
from dockmagic.images.files import write_all
from dockmagic.images.tarformat import BLOCK, InvalidTar

_MAX_META = 1 << 20
"""Bytes of a long name or a pax header; Go's archive/tar has the same limit."""
_CHUNK = 1 << 18
_MAX_MAJOR, _MAX_MINOR = 0xFFF, 0xFFFFF  # linux/kdev_t.h


class Readable(Protocol):
    """All that is asked of an archive's stream."""

    def read(self, size: int, /) -> bytes:
        """``size`` bytes, fewer only at the end."""
        ...


_FILES = frozenset((tarformat.REGULAR, tarformat.OLD_REGULAR, tarformat.CONTIGUOUS))
_PLAIN = frozenset((tarformat.REGULAR, tarformat.HARD_LINK, tarformat.SYMBOLIC_LINK, tarformat.FOLDER))
_META = frozenset((tarformat.GNU_LONG_NAME, tarformat.GNU_LONG_LINK, tarformat.PAX, tarformat.PAX_GLOBAL))
_WITHOUT_CONTENT = frozenset(b"%d" % digit for digit in range(1, 7))
_NONE: Mapping[str, bytes] = MappingProxyType({})


class TarEntry(NamedTuple):
    """One entry. ``name`` and ``link`` are as written, nothing cleaned. ``mtime`` in nanoseconds."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = _NONE

    @property
    def is_file(self) -> bool:
        return self.kind in _FILES


class TarReader:
    """Iterate over the entries of ``stream``; between two steps :meth:`copy` or :meth:`read` may take the content.

    Raises InvalidTar for anything malformed, and when the stream ends in the middle of an entry.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = 0
        """bytes of the current entry's content not taken yet"""
        self._pad = 0
        self._globals: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[TarEntry]:
        read = self._stream.read
        local: dict[str, bytes] = {}
        while True:
            if self._left or self._pad:
                self._skip()
            block = read(BLOCK)
            if not block or not block[0]:
                if not block and not local:  # a missing end mark is forgiven, as Go and GNU tar do
                    return
                if len(block) == BLOCK and not any(block):
                    return
            if len(block) < BLOCK:
                raise InvalidTar("unexpected EOF")
            fields = tarformat.fields(block)
            kind = block[156:157]
            if kind in _META:
                body = self._meta(fields[3])
                if kind == tarformat.PAX:
                    local.update(tarformat.pax_records(body))
                elif kind == tarformat.PAX_GLOBAL:
                    self._globals.update(tarformat.pax_records(body))
                else:
                    local["path" if kind == tarformat.GNU_LONG_NAME else "linkpath"] = body.partition(b"\0")[0]
                continue
            if local or self._globals or kind not in _PLAIN or block[345]:
                entry = _entry(block, kind, fields, {**self._globals, **local})
                local = {}
            else:  # nearly all, and therefore without a detour
                mode, uid, gid, size, mtime = fields
                link = block[157:257].partition(b"\0")[0] if block[157] else b""
                name = block[:100].partition(b"\0")[0]
                entry = TarEntry(name, kind, mode & 0o7777, uid, gid, size, mtime * 1_000_000_000, link)
            self._left = 0 if entry.kind in _WITHOUT_CONTENT else entry.size
            self._pad = -self._left % BLOCK
            yield entry

    def read(self) -> bytes:
        """All that is left of the current entry's content; for small ones."""
        body = self._exactly(self._left)
        self._left = 0
        return body

    def copy(self, fd: int) -> None:
        """Write what is left of the current entry's content to ``fd``."""
        left = self._left
        if left <= _CHUNK:  # nearly all files: in one piece, and without another look for the padding
            if left:
                body = self._exactly(left + self._pad)
                self._left = self._pad = 0
                write_all(fd, memoryview(body)[:left] if len(body) > left else body)
            return
        for chunk in self.chunks():
            write_all(fd, chunk)

    def chunks(self) -> Iterator[bytes]:
        """What is left of the current entry's content, piece by piece."""
        read = self._stream.read
        while self._left:
            chunk = read(min(self._left, _CHUNK))
            if not chunk:
                raise InvalidTar("unexpected EOF")
            self._left -= len(chunk)
            yield chunk

    def _skip(self) -> None:
        left = self._left + self._pad
        while left:
            chunk = self._stream.read(min(left, _CHUNK))
            if not chunk:
                raise InvalidTar("unexpected EOF")
            left -= len(chunk)
        self._left = self._pad = 0

    def _meta(self, size: int) -> bytes:
        if size > _MAX_META:
            raise InvalidTar
        return self._exactly(size + -size % BLOCK)[:size]

    def _exactly(self, size: int) -> bytes:
        body = self._stream.read(size)
        while len(body) < size:
            more = self._stream.read(size - len(body))
            if not more:
                raise InvalidTar("unexpected EOF")
            body += more
        return body


def _entry(block: bytes, kind: bytes, fields: tuple[int, int, int, int, int], pax: dict[str, bytes]) -> TarEntry:
    name = block[:100].partition(b"\0")[0]
    if block[345] and block[257:263] == b"ustar\0":
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    link = block[157:257].partition(b"\0")[0] if block[157] else b""
    mode, uid, gid, size, seconds = fields
    mtime = seconds * 1_000_000_000
    xattrs: Mapping[str, bytes] = _NONE
    if pax:
        if any(key.startswith("GNU.sparse.") for key in pax):
            kind = tarformat.GNU_SPARSE
        name, link = pax.get("path", name), pax.get("linkpath", link)
        size, uid, gid = _decimal(pax, "size", size), _decimal(pax, "uid", uid), _decimal(pax, "gid", gid)
        if "mtime" in pax:
            mtime = _nanoseconds(pax["mtime"])
        xattrs = {key[len(tarformat.XATTR) :]: value for key, value in pax.items() if key.startswith(tarformat.XATTR)}
    if kind == tarformat.GNU_SPARSE:
        raise InvalidTar(f'sparse files are not supported: "{os.fsdecode(name)}"')
    if (
        b"\0" in name
        or b"\0" in link
        or size < 0
        or not (0 <= uid <= tarformat.MAX_ID and 0 <= gid <= tarformat.MAX_ID)
    ):
        raise InvalidTar
    if abs(mtime) > tarformat.MAX_TIME * 1_000_000_000:
        raise InvalidTar
    device = (0, 0)
    if kind in (tarformat.CHARACTER, tarformat.BLOCK_DEVICE):
        device = (tarformat.number(block[329:337]), tarformat.number(block[337:345]))
        if not (0 <= device[0] <= _MAX_MAJOR and 0 <= device[1] <= _MAX_MINOR):
            raise InvalidTar
    elif kind == tarformat.OLD_REGULAR and name.endswith(b"/"):  # a folder, in tars older than ustar
        kind = tarformat.FOLDER
    return TarEntry(name, kind, mode & 0o7777, uid, gid, size, mtime, link, device, xattrs)


def _decimal(pax: dict[str, bytes], key: str, otherwise: int) -> int:
    if key not in pax:
        return otherwise
    try:
        return int(pax[key])
    except ValueError:
        raise InvalidTar from None


def _nanoseconds(text: bytes) -> int:
    """A pax time: decimal seconds with an optional fraction, maybe negative."""
    seconds, _, fraction = text.partition(b".")
    digits = seconds.removeprefix(b"-")
    if not digits.isdigit() or (fraction and not fraction.isdigit()):
        raise InvalidTar
    parts = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    value = int(digits) * 1_000_000_000 + parts
    return -value if seconds.startswith(b"-") else value
