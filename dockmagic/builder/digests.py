"""Content as a cache key sees it: names, modes, owners, links, data; no times.

Hashing a file again is spared where its identity (size, mtime, inode, ctime) has been seen: a folder context of 5,000
files is then keyed in 0.03 s instead of 0.2 s.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from dockmagic.builder.cache import BuildCache
from dockmagic.builder.tree import Entry, Tree, join
from dockmagic.dockerfile.ignore import Ignore

_CHUNK = 1 << 20
_PARALLEL = 64
"""Files from which on hashing is worth threads (hashlib lets go of the interpreter's lock)."""


class Digester:
    """Digests of trees, remembering each file's for one build, and across builds in ``cache``."""

    def __init__(self, cache: BuildCache) -> None:
        self._cache = cache
        self._files: dict[tuple[int, str], str] = {}
        self._trees: dict[int, Tree] = {}
        """Kept, so that no other tree gets the ``id`` of one that was looked at"""

    def tree(self, source: Tree, path: str, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> str:
        """The digest of a path and all below it, which patterns may narrow as they narrow a copy."""
        self._trees[id(source)] = source
        entry = source.lstat(path)
        if entry is None:
            return "missing"
        entries: list[tuple[str, str, Entry]] = [(path, "", entry)]
        if entry.is_folder:
            _collect(source, path, "", _ignore(include), _ignore(exclude), (), (), entries)
        self._hash_files(source, entries)
        total = hashlib.sha256()
        for full, below, found in entries:
            if below or not found.is_folder:  # a folder's own metadata does not come along
                total.update(self._line(source, full, below, found))
        return total.hexdigest()

    def _line(self, source: Tree, full: str, below: str, entry: Entry) -> bytes:
        parts = [below, f"{entry.mode:o}", str(entry.uid), str(entry.gid)]
        if entry.is_file:
            parts.append(self._files[id(source), full])
        elif entry.is_link:
            parts.append(entry.target)
        elif stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
            parts.append(f"{entry.device[0]}:{entry.device[1]}")
        for name, value in sorted(entry.xattrs.items()):
            parts.append(f"{name}={value.hex()}")
        return "\0".join(parts).encode("utf-8", "surrogateescape") + b"\n"

    def _hash_files(self, source: Tree, entries: list[tuple[str, str, Entry]]) -> None:
        todo = [(full, entry) for full, _, entry in entries if entry.is_file and (id(source), full) not in self._files]
        known = self._cache.known_digests([entry.identity for _, entry in todo if entry.identity])
        unknown = []
        for full, entry in todo:
            if entry.identity in known:
                self._files[id(source), full] = known[entry.identity]
            else:
                unknown.append((full, entry))
        workers = min(4, os.cpu_count() or 1)
        if len(unknown) < _PARALLEL or workers == 1:
            found = [_digest(source, full, entry) for full, entry in unknown]
        else:
            with ThreadPoolExecutor(workers) as pool:
                parts = list(
                    pool.map(lambda part: [_digest(source, *item) for item in part], _shares(unknown, workers))
                )
            found = [digest for part in parts for digest in part]
        learned = {}
        for (full, entry), digest in zip(unknown, found, strict=True):
            self._files[id(source), full] = digest
            if entry.identity:
                learned[entry.identity] = digest
        self._cache.learn_digests(learned)


def _shares(items: list[tuple[str, Entry]], count: int) -> list[list[tuple[str, Entry]]]:
    """The items in ``count`` runs, in order."""
    size = -(-len(items) // count)
    return [items[start : start + size] for start in range(0, len(items), size)]


def _digest(source: Tree, path: str, entry: Entry) -> str:
    hasher = hashlib.sha256()
    descriptor, offset = source.open_data(path, entry)
    try:
        left = entry.size
        while left:
            chunk = os.pread(descriptor, min(left, _CHUNK), offset)
            if not chunk:
                break
            hasher.update(chunk)
            left -= len(chunk)
            offset += len(chunk)
    finally:
        source.close_data(descriptor)
    return hasher.hexdigest()


def _ignore(patterns: Sequence[str]) -> Ignore | None:
    return Ignore.of(patterns) if patterns else None


def _collect(
    source: Tree,
    path: str,
    below: str,
    include: Ignore | None,
    exclude: Ignore | None,
    included: Sequence[bool],
    excluded: Sequence[bool],
    entries: list[tuple[str, str, Entry]],
) -> None:
    for name in source.names(path):
        full, inner = join(path, name), join(below, name)
        entry = source.lstat(full)
        if entry is None:
            continue
        wanted, info_in, info_out = True, included, excluded
        if include is not None:
            wanted, info_in = include.matches_in(inner, included)
        if exclude is not None:
            hidden, info_out = exclude.matches_in(inner, excluded)
            wanted = wanted and not hidden
        if wanted:
            entries.append((full, inner, entry))
        if entry.is_folder:
            _collect(source, full, inner, include, exclude, info_in, info_out, entries)
