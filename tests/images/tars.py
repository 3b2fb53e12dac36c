"""Tars made by Python's tarfile, which shares nothing with the code under test, and trees made plain to compare."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

WHEN = 1_700_000_000


def entry(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A file, or with ``type=`` anything else. Folders get 0755, files 0644."""
    info = tarfile.TarInfo(name)
    info.mtime = WHEN
    info.type = fields.get("type", tarfile.REGTYPE)
    info.mode = 0o755 if info.type == tarfile.DIRTYPE else 0o644
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def folder(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target, **{"mode": 0o777, **fields})


def hardlink(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target, **fields)


def tar(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def listing(data: bytes) -> list[tuple[Any, ...]]:
    """Every entry as tarfile reads it: name, type, mode, uid, gid, time, link, content, pax headers."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [
            (
                member.name,
                member.type,
                member.mode,
                member.uid,
                member.gid,
                member.mtime,
                member.linkname,
                archive.extractfile(member).read() if member.isreg() else b"",  # type: ignore[union-attr]
                {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY")},
            )
            for member in archive
        ]


def names(data: bytes) -> list[str]:
    return [item[0] for item in listing(data)]


def tree(root: Path | str) -> dict[str, tuple[Any, ...]]:
    """Everything below ``root``: kind, permission bits, and content, target or nothing."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in _below(os.fspath(root)):
        status = os.lstat(path)
        name = os.path.relpath(path, root)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFLNK:
            found[name] = ("link", os.readlink(path))
        elif kind == stat.S_IFREG:
            found[name] = ("file", status.st_mode & 0o7777, Path(path).read_bytes())
        elif kind == stat.S_IFDIR:
            found[name] = ("folder", status.st_mode & 0o7777)
        else:
            found[name] = ("special", kind, status.st_rdev)
    return found


def _below(root: str) -> Iterable[str]:
    for path, folders, files in os.walk(root):
        yield from (os.path.join(path, name) for name in folders + files)
