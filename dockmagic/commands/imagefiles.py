"""The files of an image, read from its export: what differs between two images, and what each layer adds."""

from __future__ import annotations

import json
import tarfile
import tempfile
from typing import IO, Any

from dockmagic.commands.api import Engine
from dockmagic.views.layers import FileEntry

File = tuple[str, int, str]
"""(kind, bytes, what tells a change: link target, mode, owner and mtime of the tar's header)"""


def saved_layers(engine: Engine, image: str) -> list[dict[str, File]]:
    """path to file for each layer from the base up; a deleted path is a file of kind "whiteout"."""
    with tempfile.TemporaryFile() as spool:
        for chunk in engine.download(f"/images/{image}/get"):
            spool.write(chunk)
        spool.seek(0)
        with tarfile.open(fileobj=spool) as archive:
            manifest = json.loads(_member(archive, "manifest.json").read())
            return [_layer(_member(archive, name)) for name in manifest[0]["Layers"]]


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
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
    opened = archive.extractfile(info)
    if opened is None:
        raise ValueError(f"{name} is no file")
    return opened


def _layer(source: IO[bytes]) -> dict[str, File]:
    files: dict[str, File] = {}
    with tarfile.open(fileobj=source, mode="r:*") as layer:
        for info in layer:
            path = "/" + info.name.removeprefix("./").strip("/")
            folder, _, base = path.rpartition("/")
            if base == ".wh..wh..opq":
                files[folder or "/"] = ("opaque", 0, "")
            elif base.startswith(".wh."):
                files[f"{folder}/{base[4:]}"] = ("whiteout", 0, "")
            elif path != "/":
                kind = "dir" if info.isdir() else "link" if info.issym() else "file"
                told = f"{info.linkname} {info.mode:o} {info.uid}:{info.gid}"
                files[path] = (kind, info.size, told if info.isdir() else f"{told} {int(info.mtime)}")
    return files


def flatten(layers: list[dict[str, File]]) -> dict[str, File]:
    """The whole tree of stacked layers."""
    tree: dict[str, File] = {}
    for layer in layers:
        for path, (kind, _, _) in layer.items():
            if kind in {"whiteout", "opaque"}:
                gone = [p for p in tree if p.startswith(f"{path}/") or (p == path and kind == "whiteout")]
                for p in gone:
                    del tree[p]
        tree |= {p: f for p, f in layer.items() if f[0] not in {"whiteout", "opaque"}}
    return tree


def compare_files(engine: Engine, first: str, second: str) -> list[tuple[int, str, int, int]]:
    """(kind, path, bytes before, bytes after) of what differs, folders' own attributes aside."""
    old, new = (flatten(saved_layers(engine, image)) for image in (first, second))
    out: list[tuple[int, str, int, int]] = []
    for path in sorted(old.keys() | new.keys()):
        a: Any = old.get(path)
        b: Any = new.get(path)
        if a is None:
            out.append((1, path, 0, b[1]))
        elif b is None:
            out.append((2, path, a[1], 0))
        elif a != b and not a[0] == b[0] == "dir":
            out.append((0, path, a[1], b[1]))
    return out


SHOWN = 60
"""How many entries of a folder are listed; the largest come first."""


def layer_files(engine: Engine, image: str) -> list[tuple[list[FileEntry], int]]:
    """For each layer from the base up: its files as a tree, and how many bytes of lower layers it hides.

    What a layer deletes or replaces is still in the layer below, so it makes no image smaller.
    """
    tree: dict[str, File] = {}
    out = []
    for layer in saved_layers(engine, image):
        entries: dict[str, tuple[int, str]] = {}
        hidden = 0
        for path, (kind, size, _) in layer.items():
            gone = kind in {"whiteout", "opaque"}
            below = [p for p in tree if p.startswith(f"{path}/")] if gone else []
            hidden += sum(tree[p][1] for p in below)
            if path in tree and kind != "opaque":
                hidden += tree[path][1]
            if kind == "opaque":  # the folder begins anew: what it had is deleted, path by path
                entries |= {p: (tree[p][1], "deleted") for p in below if p not in layer}
                continue
            if kind == "dir" and path in tree:
                continue
            change = "deleted" if gone else "changed" if path in tree else "added"
            freed = sum(tree[p][1] for p in [*below, path] if p in tree) if gone else size
            entries[path] = (freed, change)
        tree = flatten([tree, layer])
        out.append((_nested(entries), hidden))
    return out


def _nested(entries: dict[str, tuple[int, str]]) -> list[FileEntry]:
    """Paths as folders in folders, the largest first, at most SHOWN of each folder."""
    root = FileEntry("")
    folders: dict[str, FileEntry] = {"": root}

    def folder(path: str) -> FileEntry:
        if path not in folders:
            parent, _, name = path.rpartition("/")
            folders[path] = FileEntry(name)
            folder(parent).children.append(folders[path])
        return folders[path]

    for path, (size, change) in sorted(entries.items(), key=lambda e: -e[0].count("/")):
        parent, _, name = path.rpartition("/")
        if path in folders:  # a folder that is listed with what is in it
            continue
        folder(parent).children.append(FileEntry(name, size, change))
        while True:
            folder(parent).size += size
            if not parent:
                break
            parent = parent.rpartition("/")[0]
    _prune(root)
    return root.children


def _prune(folder: FileEntry) -> None:
    folder.children.sort(key=lambda e: (-e.size, e.name))
    folder.more = max(0, len(folder.children) - SHOWN)
    del folder.children[SHOWN:]
    for child in folder.children:
        _prune(child)
