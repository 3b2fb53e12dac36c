"""Layers: unpacked and written against GNU tar, cloned against ``cp -al``, and what a root costs to prepare.

The tree is 50,000 small files in 3,000 folders. Each comparison is interleaved, ours and the other's in turn, and the
CPU time is counted too: on a busy machine the wall clock tells little.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Row, milliseconds
from dockmagic.database import Database
from dockmagic.images import tarwriter
from dockmagic.images.content import Content
from dockmagic.images.pipeline import HashedReader
from dockmagic.images.snapshots import LayerSnapshots, open_snapshots
from dockmagic.images.snapshots.changes import compare
from dockmagic.images.snapshots.clone import clone
from dockmagic.images.snapshots.record import Folder, Record
from dockmagic.images.snapshots.stack import Stack
from dockmagic.images.untar import untar

FOLDERS, FILES = 3_000, 50_000


def rows() -> Iterator[Row]:
    """Below /dev/shm where it is large enough: a disk's own slowness is nobody's here."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if _room() else None) as folder:
        root = Path(folder)
        tree = _make(root / "tree")
        archive = root / "tree.tar"
        subprocess.run(["tar", "--sort=name", "-cf", archive, "-C", tree, "."], check=True)
        stack = Stack([Folder(1, "", tree, "real", Record())])
        fresh = _fresh(root)
        yield from _both(
            f"unpack {FILES} files with their sha256, GNU tar without",
            lambda: _untar(archive, fresh()),
            lambda: subprocess.run(["tar", "-xf", archive, "-C", fresh()], check=True),
        )
        yield from _both(
            "write their tar with its sha256, GNU tar without",
            lambda: _write(tree),
            lambda: subprocess.run(f"tar --sort=name -cf - -C {tree} . | cat > /dev/null", shell=True, check=True),  # noqa: S602
        )
        cloned = fresh()
        yield from _both(
            f"clone {FILES} files by hard links, cp -al",
            lambda: clone(stack, fresh(), "real", links=True),
            lambda: subprocess.run(["cp", "-al", tree, fresh()], check=True),
        )
        clone(stack, cloned, "real", links=True)
        yield Row(
            "what changed in such a clone (nothing)",
            milliseconds(lambda: compare(str(cloned), stack, "real", "links"), 3),
        )
        yield from _prepare(root)


def _prepare(root: Path) -> Iterator[Row]:
    """An overlay of six layers, where this process may mount one."""
    libc = ctypes.CDLL(None)
    if libc.unshare(0x20000) != 0:  # CLONE_NEWNS
        return
    libc.mount(b"none", b"/", None, ctypes.c_ulong(0x44000), None)  # MS_REC | MS_PRIVATE
    database = Database(root / "state.db")
    snapshots = open_snapshots(root, Content(root), database, overlay="", id_mapping="host")
    chain = ""
    for number in range(6):
        layer = snapshots.prepare("layer", chain)
        (layer.path / f"f{number}").write_bytes(b"x")
        committed = snapshots.commit("layer")
        assert committed is not None
        chain = committed[0]
    yield Row("prepare and remove a root on six layers", milliseconds(lambda: _once(snapshots, chain), 50))
    snapshots.close()


def _once(snapshots: LayerSnapshots, chain: str) -> None:
    snapshots.prepare("root", chain)
    snapshots.remove("root")


def _both(name: str, ours: Callable[[], object], other: Callable[[], object]) -> Iterator[Row]:
    """Wall clock and CPU time of the best of three runs each."""
    taken: list[list[tuple[float, float]]] = [[], []]
    for _ in range(3):
        for index, action in enumerate((ours, other)):
            began, cpu = time.perf_counter(), _cpu()
            action()
            taken[index].append((time.perf_counter() - began, _cpu() - cpu))
    for index, unit in enumerate(("", ", CPU")):
        first, second = (min(run[index] for run in runs) * 1000 for runs in taken)
        yield Row(name + unit, first, second)


def _untar(archive: Path, folder: Path) -> str:
    with archive.open("rb") as stream, HashedReader(stream) as reader:
        untar(reader, folder, layer=True)
        return reader.digest()


def _write(tree: Path) -> str:
    seen = hashlib.sha256()
    for chunk in tarwriter.write_tar(tarwriter.walk(os.fsencode(tree)), "real"):
        seen.update(chunk)
    return seen.hexdigest()


def _make(tree: Path) -> Path:
    content = os.urandom(10_000)
    for number in range(FOLDERS):
        folder = tree / f"{number % 30}" / f"{number}"
        folder.mkdir(parents=True)
        for file in range(number, FILES, FOLDERS):
            (folder / f"file-{file}").write_bytes(content[: file % 10_000])
    return tree


def _fresh(root: Path) -> Callable[[], Path]:
    """Makes one new folder after the other; nothing is deleted before the end (ext4 shuns inodes just freed)."""
    numbers = iter(range(10**6))

    def make() -> Path:
        folder = root / f"fresh-{next(numbers)}"
        folder.mkdir()
        return folder

    return make


def _cpu() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _room() -> bool:
    try:
        status = os.statvfs("/dev/shm")
    except OSError:
        return False
    return status.f_bavail * status.f_frsize > 4 << 30
