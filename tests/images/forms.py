"""The ways a root is made, and who makes it: every test of snapshots runs in each of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dockmagic.database import Database
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.content import Content
from dockmagic.images.manifest import OCI_LAYER
from dockmagic.images.protocols import Snapshot
from dockmagic.images.snapshots import LayerSnapshots, open_snapshots
from tests.images.isolation import (
    can_make_user_namespaces,
    in_child,
    needs_root,
    nobody,
    nobody_in_namespace,
    own_mounts,
)
from tests.images.tars import WHEN


@dataclass(frozen=True)
class Form:
    """How to open a store, and what its process is to become before."""

    before: Callable[[], None] = lambda: None
    overlay: str = "no"
    mapping: str = "host"
    copy_up: bool = False

    def open(self, root: Path) -> LayerSnapshots:
        return open_snapshots(
            root,
            Content(root),
            Database(root / "state.db"),
            overlay=self.overlay,
            id_mapping=self.mapping,
            copy_up=self.copy_up,
        )

    def run(self, folder: Path, action: Callable[[LayerSnapshots], None]) -> None:
        """``action`` with a new store below ``folder``, in a process of this form; the store is closed after it."""
        folder.chmod(0o777)  # for nobody

        def inside() -> None:
            snapshots = self.open(folder / "root")
            try:
                action(snapshots)
            finally:
                snapshots.close()

        in_child(inside, self.before)


FORMS = {
    "overlay": Form(own_mounts, overlay=""),
    "userxattr": Form(own_mounts, overlay="userxattr"),
    "links": Form(copy_up=True),
    "copies": Form(),
    "tracer": Form(nobody, mapping="single", copy_up=True),
    "rootless": Form(nobody_in_namespace, overlay="userxattr", mapping="single"),
}


def each_form() -> Any:
    """A mark: the test's ``form`` is each of them in turn, where this machine has it."""
    can = can_make_user_namespaces()
    return pytest.mark.parametrize(
        "form",
        [
            pytest.param(
                form,
                id=name,
                marks=[needs_root, pytest.mark.skipif(name == "rootless" and not can, reason="no user namespaces")],
            )
            for name, form in FORMS.items()
        ],
    )


def blob(snapshots: LayerSnapshots, data: bytes) -> BlobLayer:
    """A layer of this (uncompressed) tar."""
    digest, size = snapshots.content.put(data)
    return BlobLayer(snapshots.content, digest, size, OCI_LAYER, digest)


def unpack(snapshots: LayerSnapshots, *tars: bytes) -> str:
    chain = ""
    for data in tars:
        chain = snapshots.unpack(chain, blob(snapshots, data))
    return chain


@dataclass
class Hand:
    """Changes to a root as a container makes them, with times that are always the same.

    What is written is a new file: in a clone of links that is what the runtime's copy-up makes of a write.
    """

    root: Path
    shared: set[int] = field(default_factory=set)
    """Inodes of the layers that a clone of links shows."""
    touched: set[Path] = field(default_factory=set)

    @classmethod
    def on(cls, snapshot: Snapshot) -> Hand:
        paths = snapshot.path.rglob("*") if snapshot.copy_on_write else ()
        return cls(snapshot.path, {path.lstat().st_ino for path in paths})

    def write(self, name: str, content: bytes, mode: int = 0o644) -> None:
        path = self._at(name)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        self.touched.add(path)

    def touch(self, name: str) -> None:
        """Copy a file up and leave it as it was."""
        path = self._at(name)
        status, content = path.stat(), path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        path.chmod(status.st_mode & 0o7777)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def mkdir(self, name: str) -> None:
        path = self._at(name)
        path.mkdir()
        path.chmod(0o755)
        self.touched.add(path)

    def link(self, name: str, target: str) -> None:
        if (self.root / target).stat().st_ino in self.shared:  # the tracer copies up before it links, as overlayfs does
            self.touch(target)
        os.link(self.root / target, self._at(name))

    def symlink(self, name: str, target: str) -> None:
        self._at(name).symlink_to(target)
        self.touched.add(self.root / name)

    def remove(self, name: str) -> None:
        path = self._at(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def done(self) -> None:
        """Everything touched gets its time."""
        for path in sorted(self.touched, reverse=True):
            if os.path.lexists(path):
                os.utime(path, (WHEN, WHEN), follow_symlinks=False)

    def _at(self, name: str) -> Path:
        path = self.root / name
        if path.parent != self.root:
            self.touched.add(path.parent)
        return path
