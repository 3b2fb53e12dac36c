"""The files of an image, read from its export: what differs between two images, and what each layer adds."""

from __future__ import annotations

import heapq
import json
import mmap
import shutil
import tarfile
import tempfile
from bisect import bisect_left
from collections.abc import Sequence

from dockmagic.commands.api import Engine
from dockmagic.commands.tarscan import File, same, scan, scan_bytes
from dockmagic.views.layers import FileEntry

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


def saved_layers(engine: Engine, image: str) -> list[dict[str, File]]:
    """path to file for each layer from the base up; a deleted path is a file of kind "whiteout"."""
    with tempfile.TemporaryFile() as spool:
        for chunk in engine.download(f"/images/{image}/get"):
            spool.write(chunk)
        spool.flush()
        spool.seek(0)
        with (
            tarfile.open(fileobj=spool) as archive,
            mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            listed = _member(archive, "manifest.json")
            manifest = json.loads(data[listed.offset_data : listed.offset_data + listed.size])
            return [_layer(archive, _member(archive, name), data) for name in manifest[0]["Layers"]]


def _member(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """A file of the archive, through the links that older engines make to layers they have twice."""
    info = archive.getmember(name)
    if info.issym():
        parts = [*name.split("/")[:-1], *info.linkname.split("/")]
        out: list[str] = []
        for part in parts:
            if part == "..":
                out.pop()
            elif part != ".":
                out.append(part)
        return _member(archive, "/".join(out))
    return info


def _layer(archive: tarfile.TarFile, info: tarfile.TarInfo, data: mmap.mmap) -> dict[str, File]:
    """The layer's files; compressed ones are unpacked first."""
    first = data[info.offset_data : info.offset_data + 8]
    source = archive.extractfile(info)
    if source is None or not first.startswith(_COMPRESSED):
        return scan_bytes(data, info.offset_data, info.offset_data + info.size)
    with tempfile.TemporaryFile() as plain:
        if first.startswith(b"\x28\xb5\x2f\xfd"):
            import zstandard

            zstandard.ZstdDecompressor().copy_stream(source, plain)
        else:
            import bz2
            import gzip
            import lzma

            opener = gzip.open if first[:2] == b"\x1f\x8b" else bz2.open if first[:3] == b"BZh" else lzma.open
            with opener(source) as unpacked:
                shutil.copyfileobj(unpacked, plain, 1 << 20)
        return scan(plain)


def flatten(layers: Sequence[dict[str, File]]) -> dict[str, File]:
    """The whole tree of stacked layers."""
    tree: dict[str, File] = {}
    for layer in layers:
        below = _Below(tree) if _deletes(layer) else None
        for path, (kind, _, _) in layer.items():
            if below is not None and kind in {"whiteout", "opaque"}:
                for gone in below.under(path):
                    tree.pop(gone, None)
                if kind == "whiteout":
                    tree.pop(path, None)
        tree |= {p: f for p, f in layer.items() if f[0] not in {"whiteout", "opaque"}}
    return tree


def _deletes(layer: dict[str, File]) -> bool:
    return any(kind in {"whiteout", "opaque"} for kind, _, _ in layer.values())


class _Below:
    """The paths of a tree in their order, so that what is in a folder is found without looking at all of them."""

    def __init__(self, tree: dict[str, File]) -> None:
        self._paths = sorted(tree)

    def under(self, folder: str) -> list[str]:
        """All paths in ``folder``, at any depth."""
        prefix = f"{folder.rstrip('/')}/"
        return self._paths[bisect_left(self._paths, prefix) : bisect_left(self._paths, prefix[:-1] + "0")]


def compare_files(engine: Engine, first: str, second: str) -> list[tuple[int, str, int, int]]:
    """(kind, path, bytes before, bytes after) of what differs, folders' own attributes aside."""
    old, new = (flatten(saved_layers(engine, image)) for image in (first, second))
    out: list[tuple[int, str, int, int]] = []
    for path in sorted(old.keys() | new.keys()):
        a, b = old.get(path), new.get(path)
        if a is None:
            out.append((1, path, 0, b[1] if b else 0))
        elif b is None:
            out.append((2, path, a[1], 0))
        elif not a[0] == b[0] == "dir" and not same(a, b):
            out.append((0, path, a[1], b[1]))
    return out


SHOWN = 60
"""How many entries of a folder are listed; the largest come first."""

DEPTH = 40
"""How many folders in folders are opened."""

LISTED = 2000
"""How many entries of a whole image are listed; the largest folders are opened first."""


def layer_files(engine: Engine, image: str) -> list[tuple[list[FileEntry], int]]:
    """For each layer from the base up: its files as a tree, and how many bytes of lower layers it hides.

    What a layer deletes or replaces is still in the layer below, so it makes no image smaller.
    """
    layers = saved_layers(engine, image)
    share = LISTED // max(1, len(layers))
    tree: dict[str, File] = {}
    out = []
    for number, layer in enumerate(layers):
        entries, hidden = _entries(tree, layer)
        out.append((nested(entries, share), hidden))
        if number + 1 < len(layers):
            tree = flatten([tree, layer]) if number else flatten([layer])
    return out


def _entries(tree: dict[str, File], layer: dict[str, File]) -> tuple[dict[str, tuple[int, str]], int]:
    """path to (bytes, change) of what ``layer`` does to ``tree``, and how many of the tree's bytes it hides."""
    if not tree:
        kept = {p: (size, "added") for p, (kind, size, _) in layer.items() if kind not in {"whiteout", "opaque"}}
        return kept, 0
    entries: dict[str, tuple[int, str]] = {}
    hidden = 0
    below = _Below(tree) if _deletes(layer) else None
    for path, (kind, size, _) in layer.items():
        gone = kind in {"whiteout", "opaque"}
        inside = below.under(path) if below is not None and gone else []
        hidden += sum(tree[p][1] for p in inside)
        if path in tree and kind != "opaque":
            hidden += tree[path][1]
        if kind == "opaque":  # the folder begins anew: what it had is deleted, path by path
            entries |= {p: (tree[p][1], "deleted") for p in inside if p not in layer}
            continue
        if kind == "dir" and path in tree:
            continue
        change = "deleted" if gone else "changed" if path in tree else "added"
        freed = sum(tree[p][1] for p in [*inside, path] if p in tree) if gone else size
        entries[path] = (freed, change)
    return entries, hidden


def nested(entries: dict[str, tuple[int, str]], most: int) -> list[FileEntry]:
    """Paths as folders in folders, the largest first: at most SHOWN of each folder and about ``most`` in all."""
    inside: dict[str, list[str]] = {"": []}
    sizes: dict[str, int] = {"": 0}

    def folder(path: str) -> None:
        missing = []
        while path not in inside:
            missing.append(path)
            path = path.rpartition("/")[0]
        for made in reversed(missing):
            inside[made], sizes[made] = [], 0
            inside[made.rpartition("/")[0]].append(made)

    for path, (size, _) in entries.items():
        parent = path.rpartition("/")[0]
        if parent not in inside:
            folder(parent)
        sizes[parent] += size
        if path not in inside:
            inside[parent].append(path)
    for path, listed_in in inside.items():  # a folder of the layer that has entries in it is listed once
        inside[path] = list(dict.fromkeys(listed_in))
    for path in sorted(inside, key=lambda p: -p.count("/")):
        if path:
            sizes[path.rpartition("/")[0]] += sizes[path]

    def size_of(path: str) -> int:
        return sizes[path] if path in sizes else entries[path][0]

    def listed(path: str) -> FileEntry:
        change = entries[path][1] if path in entries else "added"
        entry = FileEntry(path.rpartition("/")[2], size_of(path), change)
        entry.more = len(inside.get(path, ()))
        return entry

    root = FileEntry("", sizes[""])
    waiting: list[tuple[int, str, FileEntry]] = [(0, "", root)]
    while waiting and most > 0:
        _, path, entry = heapq.heappop(waiting)
        first = heapq.nsmallest(SHOWN, inside[path], key=lambda p: (-size_of(p), p))
        entry.children = [listed(p) for p in first]
        entry.more = len(inside[path]) - len(first)
        most -= len(first)
        for child_path, child in zip(first, entry.children, strict=True):
            if inside.get(child_path) and child_path.count("/") < DEPTH:
                heapq.heappush(waiting, (-child.size, child_path, child))
    return root.children
