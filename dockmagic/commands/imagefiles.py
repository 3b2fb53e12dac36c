"""The files of an image, read from its export: what each layer adds, and what differs between two images."""

from __future__ import annotations

import json
import tarfile
import tempfile
from typing import IO, Any

from dockmagic.commands.api import Engine

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
        elif a != b:
            out.append((0, path, a[1], b[1]))
    return out
