"""Where COPY puts files: into a whole root, or into an empty folder that becomes a layer on a root.

The second spares mounting (and, without overlays, cloning) the root to write on, and making files through an overlay,
which takes twice as long. What is below is looked at as an overlay would look at it, and its folders are copied up
when something comes into them.
"""

from __future__ import annotations

import os
import threading

from dockmagic import inroot
from dockmagic.builder.metadata import Applier, Metadata
from dockmagic.builder.tree import Entry, FolderTree


class Destination:
    """Paths are absolute, on the host, and begin with ``root``, whatever they are found in."""

    def __init__(self, root: str, applier: Applier, below: str | None = None) -> None:
        """``below``: the root that ``root`` will be a layer on; None when ``root`` is a whole root itself."""
        self.root = root
        self.below = below
        self._applier = applier
        self._own = FolderTree(root)
        self._lower = FolderTree(below) if below is not None else None
        self._placed = {root}
        self._lock = threading.Lock()

    def resolve(self, path: str) -> str:
        """A path of the image with every link followed within it."""
        if self.below is None:
            return inroot.resolve(self.root, path)
        return self.root + inroot.resolve(self.below, path)[len(self.below) :]

    def guest(self, target: str) -> str:
        """The path as the image has it."""
        return inroot.guest_path(self.root, target)

    def lstat(self, target: str) -> Entry | None:
        """What is there."""
        path = target[len(self.root) + 1 :]
        found = self._own.lstat(path)
        if found is None and self._lower is not None:
            found = self._lower.lstat(path)
        return found

    def readable(self, target: str) -> str:
        """Where the data of what is there can be read."""
        if self.below is None or os.path.lexists(target):
            return target
        return self.below + target[len(self.root) :]

    def has_own(self, target: str) -> bool:
        """Whether it is in ``root`` itself."""
        return os.path.lexists(target)

    def place(self, folder: str) -> None:
        """A folder that is below comes up, as it is, with those above it: something is to be made in it."""
        if self._lower is None or folder in self._placed:
            return
        with self._lock:
            self._place(folder)

    def _place(self, folder: str) -> None:
        if folder in self._placed:
            return
        self._place(os.path.dirname(folder))
        if not os.path.lexists(folder):
            assert self._lower is not None, "only called with something below"
            entry = self._lower.lstat(folder[len(self.root) + 1 :])
            if entry is None:
                raise FileNotFoundError(2, os.strerror(2), self.guest(folder))
            os.mkdir(folder, 0o700)
            self._applier.apply(folder, metadata_of(entry))
        self._placed.add(folder)

    def make_folder(self, target: str) -> None:
        """An empty folder where nothing is."""
        self.place(os.path.dirname(target))
        os.mkdir(target, 0o700)

    def remove(self, target: str) -> None:
        """Make place for a file; what is below is hidden by what comes."""
        if self.below is None or os.path.lexists(target):
            os.unlink(target)


def metadata_of(entry: Entry) -> Metadata:
    """What a file has."""
    return Metadata(entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs)
