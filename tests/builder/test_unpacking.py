"""ADD of archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from dockmagic.builder.copying import Copier, CopyOptions
from dockmagic.builder.metadata import Applier
from dockmagic.builder.tree import FolderTree, MemoryTree
from dockmagic.builder.unpacking import is_archive, unpack


def archive(*members: tuple[str, bytes, bytes | str]) -> bytes:
    """(name, type, data or link target)"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.mtime = kind, 0o640, 7, 1000
            if isinstance(data, str):
                info.linkname, data = data, b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def put(data: bytes, root: Path, destination: str, options: CopyOptions | None = None) -> bool:
    """Unpack as ADD would; False when it is no archive."""
    root.mkdir(exist_ok=True)
    tree = MemoryTree({"x.tar": (data, 0o644)}, 0)
    entry = tree.lstat("x.tar")
    assert entry is not None
    if not is_archive(tree, "x.tar", entry):
        return False
    copier = Copier(str(root), Applier(real_owners=os.geteuid() == 0))
    unpack(tree, "x.tar", entry, copier, destination, options or CopyOptions(), root.parent)
    return True


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
def test_compressions(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert put(compress(archive(("d/a", tarfile.REGTYPE, b"1"))), tmp_path / "root", "/out")
    assert (tmp_path / "root/out/d/a").read_bytes() == b"1"


@pytest.mark.parametrize(
    "data", [b"", b"plain text " * 100, gzip.compress(b"no tar" * 1000), b"\x1f\x8b\x08 broken" * 40, bytes(2048)]
)
def test_what_is_no_archive(data: bytes, tmp_path: Path) -> None:
    assert not put(data, tmp_path / "root", "/out")


def test_what_an_archive_may_hold(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "out/d").mkdir(parents=True)
    (root / "out/d/old").write_text("kept")
    (root / "out/f").mkdir()
    data = archive(
        ("d", tarfile.DIRTYPE, b""), ("d/a", tarfile.REGTYPE, b"1"), ("d/h", tarfile.LNKTYPE, "d/a"),
        ("l", tarfile.SYMTYPE, "/etc"), ("l/inside", tarfile.REGTYPE, b"2"), ("f", tarfile.REGTYPE, b"3"),
        ("../../up", tarfile.REGTYPE, b"4"), ("p", tarfile.FIFOTYPE, b""),
    )  # fmt: skip
    assert put(data, root, "/out/")
    assert (root / "out/d/old").read_text() == "kept"
    assert (root / "out/d/a").stat().st_ino == (root / "out/d/h").stat().st_ino
    assert os.readlink(root / "out/l") == "/etc"
    assert (root / "out/etc/inside").read_bytes() == b"2", (
        "a link in the archive leads nowhere but into the destination"
    )
    assert (root / "out/f").read_bytes() == b"3"
    assert (root / "out/up").read_bytes() == b"4"
    assert (root / "out/d/a").stat().st_mtime == 1000
    assert not (tmp_path / "up").exists()
    assert not Path("/etc/inside").exists()


def test_owner_and_epoch(tmp_path: Path) -> None:
    options = CopyOptions(owner=(100, 200), epoch=5 * 10**9)
    put(archive(("a", tarfile.REGTYPE, b"1")), tmp_path / "root", "/out", options)
    tree = FolderTree(str(tmp_path / "root"))
    for path in ("out", "out/a"):
        entry = tree.lstat(path)
        assert entry is not None
        if os.geteuid() == 0:
            assert (entry.uid, entry.gid) == (100, 200)
    assert (tmp_path / "root/out/a").stat().st_mtime == 5
