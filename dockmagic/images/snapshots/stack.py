"""Several unpacked layers seen as the one tree they make, without mounting anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dockmagic.images.snapshots.record import Folder


class Source(NamedTuple):
    """One layer's share of a folder: where it is, and whose."""

    path: bytes
    folder: Folder


class Node(NamedTuple):
    """A name in the merged tree."""

    entry: os.DirEntry[bytes]
    """The topmost layer's: the one that shows."""
    sources: tuple[Source, ...]
    """For a folder: all that is merged into it, from the top down. Empty for everything else."""

    @property
    def is_folder(self) -> bool:
        return bool(self.sources)


class Stack:
    """``folders`` from the base up. Links are never followed."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        self.folders = tuple(folders)
        self.roots = _visible(b"", tuple(Source(os.fsencode(folder.path), folder) for folder in reversed(self.folders)))

    def children(self, name: bytes, sources: tuple[Source, ...]) -> dict[bytes, Node]:
        """What is in the folder ``name`` (no slash at either end) that ``sources`` make."""
        found: dict[bytes, tuple[os.DirEntry[bytes], list[Source]]] = {}
        closed: set[bytes] = set()
        """names that nothing further down can add to"""
        prefix = name + b"/" if name else b""
        for source in sources:
            whiteouts = source.folder.record.whiteouts
            gone = []
            with os.scandir(source.path) as entries:
                for entry in entries:
                    base = entry.name
                    path = prefix + base
                    if path in whiteouts:  # overlayfs's marker of it
                        continue
                    if base in closed:
                        continue
                    is_folder = entry.is_dir(follow_symlinks=False)
                    known = found.get(base)
                    if known is None:
                        found[base] = (entry, [Source(entry.path, source.folder)] if is_folder else [])
                        if not is_folder:
                            gone.append(base)
                    elif is_folder:
                        known[1].append(Source(entry.path, source.folder))
                    else:
                        gone.append(base)
            closed.update(gone)
            closed.update(source.folder.record.gone.get(name, ()))
        return {base: Node(entry, _visible(prefix + base, tuple(below))) for base, (entry, below) in found.items()}

    def find(self, path: str) -> str | None:
        """Where on disk the topmost ``path`` is, or None."""
        sources = self.roots
        name = b""
        parts = [part for part in os.fsencode(path).split(b"/") if part]
        if not parts:
            return os.fsdecode(sources[0].path) if sources else None
        for depth, part in enumerate(parts):
            name = name + b"/" + part if name else part
            below: list[Source] = []
            for source in sources:
                candidate = source.path + b"/" + part
                try:
                    status = os.lstat(candidate)
                except (FileNotFoundError, NotADirectoryError):
                    status = None
                if status is not None and name not in source.folder.record.whiteouts:
                    if not stat.S_ISDIR(status.st_mode):
                        if below:
                            break
                        return os.fsdecode(candidate) if depth == len(parts) - 1 else None
                    below.append(Source(candidate, source.folder))
                if name in source.folder.record.whiteouts:
                    break
            if not below:
                return None
            sources = _visible(name, tuple(below))
        return os.fsdecode(sources[0].path)

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Everything, each folder before what is in it, its names sorted."""
        yield from self._walk(b"", self.roots)

    def _walk(self, name: bytes, sources: tuple[Source, ...]) -> Iterator[tuple[bytes, Node]]:
        for base, node in sorted(self.children(name, sources).items()):
            path = name + b"/" + base if name else base
            yield path, node
            if node.sources:
                yield from self._walk(path, node.sources)


def _visible(name: bytes, sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """Down to the first layer in which the folder is opaque."""
    for index, source in enumerate(sources):
        if name in source.folder.record.opaque:
            return sources[: index + 1]
    return sources
