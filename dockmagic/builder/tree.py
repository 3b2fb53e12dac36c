"""File trees that COPY and ADD read from: a folder on disk, the build context's tar, a heredoc's one file.

Paths in a tree are relative and clean (``""`` is its root). Links are followed within the tree only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from dockmagic import inroot, ownership

_MAX_LINKS = 255  # as containerd's continuity/fs.RootPath


@dataclass(slots=True)
class Entry:
    """What ``lstat`` says of a file, as the container sees it. ``mode`` is the whole st_mode, times in ns."""

    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    target: str = ""
    """Where a symbolic link points."""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    inode: tuple[int, int] | None = None
    """Device and inode, when the file may be one of several hard links."""
    offset: int = 0
    """Where the data begins, in an archive."""
    identity: str = ""
    """Names this very content on this machine (size, mtime, inode, ctime), when hashing it again can be spared."""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


class Tree(Protocol):
    """A tree to read."""

    def lstat(self, path: str) -> Entry | None:
        """The entry at ``path``, or None; the components before the last must be folders, not links."""
        ...

    def names(self, path: str) -> list[str]:
        """What a folder holds, sorted by bytes as Go does."""
        ...

    def open_data(self, path: str, entry: Entry) -> tuple[int, int]:
        """A file descriptor to read a regular file's data from, and the offset. Close it with :meth:`close_data`."""
        ...

    def close_data(self, descriptor: int) -> None: ...


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def resolve(tree: Tree, path: str, *, follow_last: bool = True) -> str:
    """The path with every link followed within the tree; ``..`` stops at its root. What is missing stays as it is."""

    def read(parts: list[str]) -> str | None:
        entry = tree.lstat("/".join(parts))
        return entry.target if entry is not None and entry.is_link else None

    return "/".join(inroot.follow(path, read, follow_last=follow_last, limit=_MAX_LINKS))


def walk(tree: Tree, path: str = "") -> Iterator[tuple[str, Entry]]:
    """Every entry below ``path``, parents first, names sorted; ``path`` itself is not among them."""
    for name in tree.names(path):
        below = join(path, name)
        entry = tree.lstat(below)
        if entry is None:  # gone between listing and looking
            continue
        yield below, entry
        if entry.is_folder:
            yield from walk(tree, below)


class FolderTree:
    """A folder on disk: a snapshot's root, a named context, an unpacked git repository."""

    def __init__(self, root: str, *, recorded: bool = True, owner: tuple[int, int] | None = None) -> None:
        """``recorded``: owners may be in :mod:`dockmagic.ownership` records; ``owner``: what every file belongs to."""
        self.root = root
        self._recorded = recorded
        self._owner = owner
        self._unrecorded = (0, 0) if recorded and os.geteuid() != 0 else None
        """Whose a file without a record is where all are ours on the disk: root's, as layers have it"""

    def path(self, path: str) -> str:
        return os.path.join(self.root, path) if path else self.root

    def lstat(self, path: str) -> Entry | None:
        full = self.path(path)
        try:
            found = os.lstat(full)
        except (FileNotFoundError, NotADirectoryError):
            return None
        entry = Entry(
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_mtime_ns,
            device=(os.major(found.st_rdev), os.minor(found.st_rdev)),
            inode=(found.st_dev, found.st_ino) if found.st_nlink > 1 else None,
        )
        if entry.is_link:
            entry.target = os.readlink(full)
        else:
            entry.xattrs = read_xattrs(full)
            if entry.is_file:
                entry.identity = (
                    f"{found.st_size}:{found.st_mtime_ns}:{found.st_dev}:{found.st_ino}:{found.st_ctime_ns}"
                )
        if self._unrecorded is not None:
            entry.uid, entry.gid = self._unrecorded
        if self._recorded and ownership.ATTRIBUTE in entry.xattrs:
            self._apply_record(entry, entry.xattrs.pop(ownership.ATTRIBUTE))
        if self._owner is not None:
            entry.uid, entry.gid = self._owner
        return entry

    @staticmethod
    def _apply_record(entry: Entry, value: bytes) -> None:
        try:
            record = ownership.Recorded.decode(value)
        except ValueError:
            return
        entry.uid, entry.gid = record.uid, record.gid
        entry.mode, entry.device = record.mode, (record.major, record.minor)

    def names(self, path: str) -> list[str]:
        return sorted(os.listdir(self.path(path)), key=os.fsencode)

    def open_data(self, path: str, entry: Entry) -> tuple[int, int]:
        return os.open(self.path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), 0

    def close_data(self, descriptor: int) -> None:
        os.close(descriptor)


class MemoryTree:
    """A few files from memory: the bodies of heredocs."""

    def __init__(self, files: dict[str, tuple[bytes, int]], mtime: int) -> None:
        """``files`` gives a path its data and permission bits; ``mtime`` in ns."""
        self._files = files
        self._mtime = mtime

    def lstat(self, path: str) -> Entry | None:
        if path in self._files:
            data, bits = self._files[path]
            return Entry(stat.S_IFREG | bits, size=len(data), mtime=self._mtime)
        if not path or any(name.startswith(path + "/") for name in self._files):
            return Entry(stat.S_IFDIR | 0o755, mtime=self._mtime)
        return None

    def names(self, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        below = {name[len(prefix) :].split("/", 1)[0] for name in self._files if name.startswith(prefix)}
        return sorted(below, key=os.fsencode)

    def open_data(self, path: str, entry: Entry) -> tuple[int, int]:
        descriptor = os.memfd_create("inline", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(descriptor), "wb") as out:
            out.write(self._files[path][0])
        return descriptor, 0

    def close_data(self, descriptor: int) -> None:
        os.close(descriptor)


def read_xattrs(path: str) -> dict[str, bytes]:
    """The attributes a layer may carry: the owner's, capabilities, and dockmagic's own records; no overlay's."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # ENOTSUP: no attributes on this file system
        return {}
    out: dict[str, bytes] = {}
    for name in names:
        if name.startswith(("user.", "security.capability")) and not name.startswith("user.overlay."):
            try:
                out[name] = os.getxattr(path, name, follow_symlinks=False)
            except OSError:  # removed meanwhile, or not ours to read
                continue
    return out
