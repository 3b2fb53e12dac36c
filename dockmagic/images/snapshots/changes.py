"""What a writable root holds that the layers below it don't: docker diff, and what a new layer is made of.

The answer depends on the two trees alone, not on how the root was made. An overlay's upper folder already has only
what was touched; a clone of hard links is compared by inode (50,000 files without reading one); a clone of copies by
the kernel's change time. What is the same below in everything but the touch is no change.

Removed names are whiteouts; when nothing of a folder that is below is left in it, it is opaque instead.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dockmagic.images.attributes import Owners, see
from dockmagic.images.snapshots.stack import Node, Source, Stack
from dockmagic.images.tarwriter import Item, Opaque, Present, Whiteout, is_whiteout

CHANGED, ADDED, DELETED = 0, 1, 2
"""Docker's numbers (moby, pkg/archive.ChangeType)."""

Form = Literal["overlay", "links", "copies"]


class Change(NamedTuple):
    """``kind`` is None for a folder that is only on the way to a change, and another name of a file that is new."""

    kind: int | None
    name: bytes
    path: bytes = b""
    status: os.stat_result | None = None


@dataclass
class ChangeSet:
    """The changes in the order of a layer's tar."""

    changes: list[Change] = field(default_factory=list)
    opaque: set[bytes] = field(default_factory=set)
    unchanged: list[Change] = field(default_factory=list)
    """An overlay's: touched but the same; each folder after what is in it."""
    markers: set[bytes] = field(default_factory=set)
    """An overlay's: the names with overlayfs's whiteout marker."""
    marked_opaque: set[bytes] = field(default_factory=set)
    """An overlay's: the folders with overlayfs's opaque marker."""

    @property
    def whiteouts(self) -> frozenset[bytes]:
        return frozenset(
            change.name
            for change in self.changes
            if change.kind == DELETED and change.name.rpartition(b"/")[0] not in self.opaque
        )

    def listing(self) -> list[tuple[int, str]]:
        """docker diff's: (kind, path) sorted by path."""
        return sorted(
            ((change.kind, "/" + os.fsdecode(change.name)) for change in self.changes if change.kind is not None),
            key=lambda pair: pair[1],
        )

    def items(self) -> Iterator[Item]:
        """The entries of the layer's tar."""
        if b"" in self.opaque:
            yield Opaque(b"")
        whiteouts = self.whiteouts
        for change in self.changes:
            if change.status is not None:
                yield Present(change.name, change.path, change.status)
                if change.name in self.opaque:
                    yield Opaque(change.name)
            elif change.name in whiteouts:
                yield Whiteout(change.name)

    @property
    def size(self) -> int:
        """bytes of the content of the files that are there"""
        sizes = {
            _identity(change.status): change.status.st_size
            for change in self.changes
            if change.status is not None and stat.S_ISREG(change.status.st_mode)
        }
        return sum(sizes.values())


def compare(root: str, stack: Stack, owners: Owners, form: Form, stamp: int = 0) -> ChangeSet:
    """How the tree ``root`` differs from ``stack``, below which it was made in this ``form``.

    ``stamp``, of copies: nanoseconds of change time; what is older was not touched since.
    """
    walk = _Walk(stack, owners, form, stamp)
    walk.folder(b"", os.fsencode(root), stack.roots, False)
    _add_other_names(walk.found, os.fsencode(root), form)
    return walk.found


def _add_other_names(found: ChangeSet, root: bytes, form: Form) -> None:
    """A new name of an old file brings the old one along, as with containerd: else they were two files in the layer."""
    files = {
        _identity(change.status)
        for change in found.changes
        if change.status is not None and change.status.st_nlink > 1 and not stat.S_ISDIR(change.status.st_mode)
    }
    if not files:
        return
    others = [change for change in found.unchanged if change.status and _identity(change.status) in files]
    if form == "links":  # there the untouched ones were passed over unseen
        inodes = {inode for _, inode in files}
        known = {change.name for change in found.changes}
        others += [change for change in _names_of(root, b"", inodes) if change.name not in known]
    if not others:
        return
    changes = {change.name: change for change in found.changes}
    for change in others:
        changes[change.name] = change._replace(kind=None)
        parent = change.name.rpartition(b"/")[0]
        while parent and parent not in changes:
            path = os.path.join(root, parent)
            changes[parent] = Change(None, parent, path, os.lstat(path))
            parent = parent.rpartition(b"/")[0]
    found.changes = sorted(changes.values(), key=lambda change: change.name.split(b"/"))
    found.unchanged = [change for change in found.unchanged if change.name not in changes]


def _names_of(folder: bytes, prefix: bytes, inodes: set[int]) -> Iterator[Change]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _names_of(entry.path, prefix + entry.name + b"/", inodes)
            elif entry.inode() in inodes:
                yield Change(None, prefix + entry.name, entry.path, entry.stat(follow_symlinks=False))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class _Walk:
    def __init__(self, stack: Stack, owners: Owners, form: Form, stamp: int) -> None:
        self.found = ChangeSet()
        self._stack = stack
        self._owners: Owners = owners
        self._form = form
        self._stamp = stamp

    def folder(self, name: bytes, path: bytes, sources: tuple[Source, ...], hidden: bool) -> bool:
        """One folder; whether a name was added to or removed from it. ``hidden``: overlayfs shows nothing below."""
        found = self.found
        below = self._stack.children(name, sources) if sources else {}
        prefix = name + b"/" if name else b""
        with os.scandir(path) as entries:
            present = {entry.name: entry for entry in entries}
        if self._form == "overlay":
            gone = set()
            for base, entry in list(present.items()):
                if not (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)) and is_whiteout(
                    entry.stat(follow_symlinks=False)
                ):
                    del present[base]
                    gone.add(base)
                    found.markers.add(prefix + base)
            removed = below.keys() - present.keys() if hidden else below.keys() & gone
        else:
            removed = below.keys() - present.keys()
        if removed and len(removed) == len(below):
            found.opaque.add(name)
        touched = bool(removed)
        for base in sorted(present.keys() | removed):
            entry_here = present.get(base)
            if entry_here is None:
                found.changes.append(Change(DELETED, prefix + base))
                continue
            try:
                touched |= self._name(prefix + base, entry_here, below.get(base), hidden)
            except FileNotFoundError:  # a running container removed it just now
                continue
        return touched

    def _name(self, name: bytes, entry: os.DirEntry[bytes], old: Node | None, hidden: bool) -> bool:
        """One name that is there; whether it is new."""
        found = self.found
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder:
            if old is not None and self._form == "links" and entry.inode() == old.entry.inode():
                return False
            status = entry.stat(follow_symlinks=False)
            if old is None:
                found.changes.append(Change(ADDED, name, entry.path, status))
                return not stat.S_ISSOCK(status.st_mode)
            if self._form == "copies" and status.st_ctime_ns < self._stamp and not old.is_folder:
                return False
            change = Change(CHANGED, name, entry.path, status)
            (found.unchanged if self._same(entry.path, status, old) else found.changes).append(change)
            return False
        status = entry.stat(follow_symlinks=False)
        if old is None:
            kind: int | None = ADDED
        elif old.is_folder and self._same(entry.path, status, old):
            kind = None
        else:
            kind = CHANGED
        if self._form == "overlay" and _is_opaque(entry.path):
            found.marked_opaque.add(name)
            hidden = True
        at = len(found.changes)
        found.changes.append(Change(kind, name, entry.path, status))
        sources = old.sources if old is not None else ()
        if self.folder(name, entry.path, sources, hidden or not sources) and kind is None:
            found.changes[at] = Change(CHANGED, name, entry.path, status)
        elif kind is None and len(found.changes) == at + 1:
            found.unchanged.append(found.changes.pop())
        return old is None

    def _same(self, path: bytes, status: os.stat_result, old: Node) -> bool:
        """Whether a layer made of it would say the same as the layers below do."""
        before = old.entry.stat(follow_symlinks=False)
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(before.st_mode) or status.st_mtime_ns != before.st_mtime_ns:
            return False
        old_path = old.entry.path
        if see(path, status, self._owners) != see(old_path, before, self._owners):
            return False
        if stat.S_ISREG(status.st_mode):
            return status.st_size == before.st_size and _same_content(path, old_path)
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(path) == os.readlink(old_path)
        return True


def _is_opaque(path: bytes) -> bool:
    """Whether overlayfs hides what is below a folder. Value ``y``; ``x`` is another marker (kernel 6.7)."""
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(path, name, follow_symlinks=False) == b"y":
                return True
        except OSError:  # not there, or not to be asked for by this process
            continue
    return False


def _same_content(one: bytes, other: bytes) -> bool:
    with open(one, "rb") as left, open(other, "rb") as right:
        while chunk := left.read(1 << 20):
            if chunk != right.read(len(chunk)):
                return False
    return True
