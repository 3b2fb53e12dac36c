"""The build context: a tar as it came over HTTP, a bare Dockerfile, a folder; ``.dockerignore`` applied."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from dockmagic.builder.tartree import TarTree
from dockmagic.builder.tree import Entry, MemoryTree, Tree, join
from dockmagic.dockerfile.ignore import Ignore
from dockmagic.errors import InvalidParameter

_CHUNK = 1 << 20
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


def compression(head: bytes) -> str:
    """How data that begins with ``head`` is compressed: ``gzip``, ``bzip2``, ``xz``, ``zstd`` or ``""``."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def decompressed(kind: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The plain data of compressed ``chunks``. Raises InvalidParameter when they are damaged or end early."""
    if not kind:
        yield from chunks
        return
    make: dict[str, Callable[[], _Decompressor]] = {
        "gzip": lambda: zlib.decompressobj(wbits=31),  # type: ignore[dict-item,return-value]
        "bzip2": bz2.BZ2Decompressor,  # type: ignore[dict-item]
        "xz": lzma.LZMADecompressor,  # type: ignore[dict-item]
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),  # type: ignore[dict-item,return-value]
    }
    current = make[kind]()
    fresh = True
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if current.eof:  # several members one after another are one stream
                    if not data.strip(b"\0"):
                        break
                    current = make[kind]()
                yield current.decompress(data)
                data = current.unused_data if current.eof else b""
                fresh = False
    except (zlib.error, OSError, lzma.LZMAError, zstandard.ZstdError, ValueError) as error:
        raise InvalidParameter(f"archive is damaged: {error}") from error
    if not fresh and not current.eof:
        raise InvalidParameter("unexpected EOF")


class _Decompressor:
    """What the four libraries' objects have in common."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes) -> bytes:
        raise NotImplementedError


def _chunks(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    if head:
        yield head
    while chunk := stream.read(_CHUNK):
        yield chunk


def spool(stream: BinaryIO, folder: Path) -> int:
    """The stream's data, decompressed, in an unlinked file: its descriptor."""
    head = b""
    while len(head) < 16 and (more := stream.read(_CHUNK)):
        head += more
    descriptor, path = tempfile.mkstemp(dir=folder, prefix="context-")
    try:
        os.unlink(path)
        with os.fdopen(os.dup(descriptor), "wb", buffering=0) as out:
            for chunk in decompressed(compression(head), _chunks(stream, head)):
                view = memoryview(chunk)
                while view:
                    view = view[out.write(view) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def looks_like_tar(block: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is a tar: its checksum says so, as in BuildKit."""
    if len(block) < 512:
        return False
    if not any(block):
        return True
    text = block[148:156].strip(b" \0")
    try:
        return int(text, 8) == sum(block) - sum(block[148:156]) + 256
    except ValueError:
        return False


@dataclass
class Context:
    """A context's files. ``dockerfile`` is the bare Dockerfile it is, when it is no archive."""

    tree: Tree
    dockerfile: bytes | None = None
    close: Callable[[], None] = lambda: None


def read_context(stream: BinaryIO, folder: Path) -> Context:
    """A context from what ``POST /build`` was given. ``folder`` takes the temporary file."""
    descriptor = spool(stream, folder)
    head = os.pread(descriptor, 512, 0)
    if not head or not looks_like_tar(head):
        size = os.fstat(descriptor).st_size
        text = os.pread(descriptor, size, 0)
        os.close(descriptor)
        return Context(MemoryTree({}, 0), dockerfile=text)
    try:
        tree = TarTree(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return Context(tree, close=tree.close)


def read_file(tree: Tree, path: str) -> bytes | None:
    """A regular file's data, links followed; None when there is none."""
    from dockmagic.builder.tree import resolve

    where = resolve(tree, path)
    entry = tree.lstat(where)
    if entry is None or not entry.is_file:
        return None
    descriptor, offset = tree.open_data(where, entry)
    out = io.BytesIO()
    try:
        left = entry.size
        while left and (chunk := os.pread(descriptor, min(left, _CHUNK), offset)):
            out.write(chunk)
            left -= len(chunk)
            offset += len(chunk)
    finally:
        tree.close_data(descriptor)
    return out.getvalue()


def ignore_of(tree: Tree, dockerfile: str = "") -> Ignore | None:
    """The rules of ``DOCKERFILE.dockerignore``, else of ``.dockerignore``. Raises PatternError."""
    for name in ([f"{dockerfile}.dockerignore"] if dockerfile else []) + [".dockerignore"]:
        text = read_file(tree, name)
        if text is not None:
            return Ignore.of_file(text.decode("utf-8", "replace"))
    return None


class MaskedTree:
    """A tree without what ``.dockerignore`` leaves out. A hidden folder shows when something in it does."""

    def __init__(self, tree: Tree, ignore: Ignore) -> None:
        self._tree = tree
        self._ignore = ignore
        self._hidden: set[str] = set()
        self._hide("", ())

    def _hide(self, folder: str, parent: tuple[bool, ...] | list[bool]) -> bool:
        """Note what is hidden below ``folder``; whether anything there is to be seen."""
        visible = False
        for name in self._tree.names(folder):
            path = join(folder, name)
            hidden, info = self._ignore.matches_in(path, parent)
            entry = self._tree.lstat(path)
            if entry is not None and entry.is_folder and (not hidden or self._ignore.exclusions):
                below = self._hide(path, info)
                hidden = hidden and not below
            if hidden:
                self._hidden.add(path)
            visible = visible or not hidden
        return visible

    def is_hidden(self, path: str) -> bool:
        """Whether the rules leave the path out, or a folder that it is in."""
        while path:
            if path in self._hidden:
                return True
            path = path.rpartition("/")[0]
        return False

    def lstat(self, path: str) -> Entry | None:
        return None if self._hidden and self.is_hidden(path) else self._tree.lstat(path)

    def names(self, path: str) -> list[str]:
        names = self._tree.names(path)
        return [name for name in names if join(path, name) not in self._hidden] if self._hidden else names

    def open_data(self, path: str, entry: Entry) -> tuple[int, int]:
        return self._tree.open_data(path, entry)

    def close_data(self, descriptor: int) -> None:
        self._tree.close_data(descriptor)
