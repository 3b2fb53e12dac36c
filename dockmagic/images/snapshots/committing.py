"""Turning what was written in a root into the tree of a layer, in which nothing but the layer is."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from pathlib import Path

from dockmagic.images.attributes import Owners
from dockmagic.images.files import unchanged_times
from dockmagic.images.snapshots.changes import ADDED, ChangeSet
from dockmagic.images.snapshots.record import Record
from dockmagic.images.snapshots.stack import Stack
from dockmagic.images.untar import copy_attributes


def copy_root(stack: Stack, folder: Path, owners: Owners) -> None:
    """Let ``folder``, a new root's, look as the root folder of ``stack`` does; times included."""
    if not stack.roots:
        folder.chmod(0o755)
        return
    source = os.fsdecode(stack.roots[0].path)
    status = os.lstat(source)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        copy_attributes(source, fd, owners)
        os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
    finally:
        os.close(fd)


def from_upper(upper: Path, changes: ChangeSet, form: str) -> Record:
    """Make an overlay's ``upper`` folder, which nobody writes any more, the tree of the layer ``changes`` describe.

    What was touched but is the same goes. Overlayfs marks every new folder opaque; only those stay so that must.
    """
    root = os.fsencode(upper)
    for change in changes.unchanged:
        with unchanged_times(os.path.dirname(change.path)):
            if change.status is not None and stat.S_ISDIR(change.status.st_mode):
                _remove_markers(root, change.name, changes.markers)
                os.rmdir(change.path)
            else:
                os.unlink(change.path)
    for name in changes.marked_opaque - changes.opaque:
        path = os.path.join(root, name)
        for kind in ("trusted", "user"):
            try:
                os.removexattr(path, f"{kind}.overlay.opaque", follow_symlinks=False)
            except OSError:  # not marked in that way, or a folder that went just now
                continue
    whiteouts = changes.whiteouts
    by_folder: dict[bytes, list[bytes]] = defaultdict(list)
    for name in changes.markers - whiteouts:
        by_folder[os.path.dirname(name)].append(name)
    for folder, names in by_folder.items():
        if os.path.isdir(os.path.join(root, folder)):
            with unchanged_times(os.path.join(root, folder)):
                for name in names:
                    os.unlink(os.path.join(root, name))
    complete = changes.markers >= whiteouts and changes.marked_opaque >= changes.opaque
    return Record(whiteouts, frozenset(changes.opaque), marked=(form,) if complete else ())


def from_clone(tree: Path, changes: ChangeSet, owners: Owners) -> Record:
    """Move what ``changes`` name out of a clone, which is used up, into the new ``tree``."""
    root = os.fsencode(tree)
    folders: list[tuple[bytes, os.stat_result]] = []
    moved = b"\0"  # no name begins so
    for change in changes.changes:
        if change.status is None or change.name.startswith(moved):
            continue
        target = os.path.join(root, change.name)
        if not stat.S_ISDIR(change.status.st_mode):
            if not stat.S_ISSOCK(change.status.st_mode):
                os.rename(change.path, target)
            continue
        folders.append((target, change.status))
        if change.kind == ADDED:
            os.rename(change.path, target)
            moved = change.name + b"/"
            continue
        os.mkdir(target, 0o700)
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        try:
            copy_attributes(os.fsdecode(change.path), fd, owners)
        finally:
            os.close(fd)
    for target, status in reversed(folders):
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
    return Record(changes.whiteouts, frozenset(changes.opaque))


def clamp_times(tree: Path, epoch: int) -> None:
    """No file's time is later than ``epoch`` (seconds)."""
    limit = epoch * 1_000_000_000
    for folder, subfolders, files in os.walk(os.fsencode(tree)):
        for name in subfolders + files:
            path = os.path.join(folder, name)
            if os.lstat(path).st_mtime_ns > limit:
                os.utime(path, ns=(limit, limit), follow_symlinks=False)


def _remove_markers(root: bytes, folder: bytes, markers: set[bytes]) -> None:
    """Whiteouts of names that nothing below has, in a folder that goes."""
    for name in [name for name in markers if os.path.dirname(name) == folder]:
        os.unlink(os.path.join(root, name))
        markers.discard(name)
