"""COPY and ADD to the letter: files of a tree into a root, by the rules of BuildKit's copier (tonistiigi/fsutil).

What differs on purpose: a file that is there already, the same in every respect, is left alone, so that it does not
come into the layer (BuildKit finds that out afterwards, when it compares the layers).
"""

from __future__ import annotations

import os
import posixpath
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from dockmagic.builder import gopath
from dockmagic.builder.chmod import Mode
from dockmagic.builder.destination import Destination, metadata_of
from dockmagic.builder.metadata import Applier, Metadata
from dockmagic.builder.tree import Entry, Tree, join, resolve
from dockmagic.dockerfile.ignore import Ignore
from dockmagic.errors import DockmagicError

_CHUNK = 1 << 20
_SMALL = 1 << 17
_PARALLEL = 128
"""Files from which on copying is worth threads: most of it is the kernel making files."""


class CopyFailed(DockmagicError):
    """The files can't be copied as asked: what is in the way says the message."""


@dataclass(frozen=True)
class CopyOptions:
    """How files arrive. ``epoch`` (ns) replaces their times; ``owner`` and ``mode`` what they had."""

    owner: tuple[int, int] | None = None
    mode: Mode | None = None
    epoch: int | None = None
    include: tuple[str, ...] = ()
    """``--parents``: patterns of what to copy, with the folders above it"""
    exclude: tuple[str, ...] = ()


@dataclass
class _Parent:
    source: str
    target: str
    copied: bool


@dataclass
class Copier:
    """Copies into the root ``root``. One per instruction: it remembers which files were hard links of one another."""

    root: str
    applier: Applier
    cancelled: threading.Event = field(default_factory=threading.Event)
    below: str | None = None
    """The root that ``root``, empty at first, will be a layer on; None: ``root`` is whole"""
    _links: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.destination = Destination(self.root, self.applier, self.below)

    def copy(self, source: Tree, path: str, destination: str, options: CopyOptions, *, contents: bool = True) -> None:
        """Copy ``path`` of ``source`` to ``destination`` (absolute in the root; a trailing ``/`` means a folder).

        ``contents``: of a folder, copy what is in it (COPY), not the folder itself (git's ``ADD``).
        """
        place = self.destination
        maker = _FolderMaker(place, self.applier, options)
        folder, name = posixpath.split(destination)
        maker.make(place.resolve(folder if name not in {"", "."} else destination))
        target = place.resolve(gopath.clean(destination))
        followed = resolve(source, path)
        entry = source.lstat(followed)
        if entry is None:
            raise CopyFailed(f'"/{path}": not found')
        existing = place.lstat(target)
        into = existing is not None and existing.is_folder
        if (entry.is_folder and not contents and existing is not None) or (not entry.is_folder and into):
            name = posixpath.basename(path.rstrip("/"))
            target = os.path.join(target, name) if name else target
            existing = None
        maker.make(target if contents and entry.is_folder and existing is None else os.path.dirname(target))
        walk = _Walk(self, source, options)
        walk.copy(followed, "", target, overwrite=False)
        walk.finish()

    def copy_data(self, source: Tree, path: str, entry: Entry, descriptor: int) -> None:
        """The file's bytes into ``descriptor``, inside the kernel where it can."""
        reader, offset = source.open_data(path, entry)
        try:
            self._transfer(reader, offset, descriptor, entry.size)
        finally:
            source.close_data(reader)

    def _transfer(self, reader: int, offset: int, writer: int, size: int) -> None:
        if size <= _SMALL:  # by way of our memory: quicker than asking whether the kernel can do it inside
            data = os.pread(reader, size, offset)
            if len(data) < size:
                raise CopyFailed("unexpected EOF")
            os.write(writer, data)
            return
        send: Callable[[int, int, int, int], int] = _copy_range
        end = offset + size
        while offset < end:
            if self.cancelled.is_set():
                raise CopyFailed("context canceled")
            try:
                count = send(reader, offset, writer, min(end - offset, 64 * _CHUNK))
            except OSError:
                if send is _send:
                    raise
                send = _send  # EXDEV, EINVAL: not between these two file systems
                continue
            if not count:
                raise CopyFailed("unexpected EOF")
            offset += count


def _copy_range(reader: int, offset: int, writer: int, count: int) -> int:
    return os.copy_file_range(reader, writer, count, offset)


def _send(reader: int, offset: int, writer: int, count: int) -> int:
    return os.sendfile(writer, reader, offset, count)


class _FolderMaker:
    """Makes the destination's folders, 0755 and root's unless the instruction says otherwise."""

    def __init__(self, place: Destination, applier: Applier, options: CopyOptions) -> None:
        self._place = place
        self._applier = applier
        uid, gid = options.owner or (0, 0)
        bits = options.mode.apply(stat.S_IFDIR | 0o755) if options.mode else 0o755
        self._metadata = Metadata(stat.S_IFDIR | bits, uid, gid, options.epoch, {})

    def make(self, path: str) -> None:
        missing: list[str] = []
        while (found := self._place.lstat(path)) is None:
            missing.append(path)
            path = os.path.dirname(path)
        if not found.is_folder:
            raise CopyFailed(f"mkdir {self._place.guest(missing[-1] if missing else path)}: not a directory")
        for folder in reversed(missing):
            self._place.make_folder(folder)
        for folder in missing:  # deepest first: a folder's time is set after its last change
            self._applier.apply(folder, self._metadata)


def make_folders(place: Destination, path: str, applier: Applier, options: CopyOptions) -> None:
    """``mkdir -p`` of an absolute path inside the root, for WORKDIR and unpacking."""
    target = place.resolve(path)
    found = place.lstat(target)
    if found is not None and not found.is_folder:
        raise CopyFailed(f"mkdir {path}: not a directory")
    _FolderMaker(place, applier, options).make(target)


class _Walk:
    """One source and all below it, as fsutil's copier goes through them."""

    def __init__(self, copier: Copier, source: Tree, options: CopyOptions) -> None:
        self._copier = copier
        self._source = source
        self._options = options
        self._include = Ignore.of(options.include) if options.include else None
        self._exclude = Ignore.of(options.exclude) if options.exclude else None
        self._parents: list[_Parent] = []
        self._place = copier.destination
        self._files: list[tuple[Entry, str, str, bool]] = []
        self._links: list[tuple[str, str, Entry, str]] = []
        self._folders: list[tuple[str, Metadata, bool]] = []

    def copy(
        self,
        path: str,
        below: str,
        target: str,
        *,
        overwrite: bool,
        included: Sequence[bool] = (),
        excluded: Sequence[bool] = (),
        fresh: bool = False,
    ) -> None:
        """``below`` is the path under the source, what patterns look at; ``fresh``: nothing can be at ``target``."""
        if self._copier.cancelled.is_set():
            raise CopyFailed("context canceled")
        entry = self._source.lstat(path)
        if entry is None:
            return
        include = True
        if below:
            if self._include is not None:
                include, included = self._include.matches_in(below, included)
            if self._exclude is not None:
                hidden, excluded = self._exclude.matches_in(below, excluded)
                include = include and not hidden
        if include:
            self._make_parents()
        if entry.is_folder:
            self._folder(entry, path, below, target, overwrite, include, included, excluded, fresh)
        elif include:
            self._later(entry, path, target, fresh=fresh)

    def _later(self, entry: Entry, path: str, target: str, *, fresh: bool) -> None:
        """Files come after all folders, many at once; names of a file that has come already come after that."""
        if entry.inode is not None and entry.is_file:
            first = self._copier._links.setdefault(entry.inode, target)
            if first != target:
                self._links.append((first, target, entry, path))
                return
        self._files.append((entry, path, target, fresh))

    def finish(self) -> None:
        """Copy the files that the walk met, then give the folders their metadata, the deepest first."""
        workers = min(4, os.cpu_count() or 1)
        if len(self._files) < _PARALLEL or workers == 1:
            self._copy_files(self._files)
        else:
            size = -(-len(self._files) // (workers * 4))
            shares = [self._files[start : start + size] for start in range(0, len(self._files), size)]
            with ThreadPoolExecutor(workers, thread_name_prefix="copy") as pool:
                for done in [pool.submit(self._copy_files, share) for share in shares]:
                    done.result()
        for first, target, entry, path in self._links:
            self._link(first, target, entry, path)
        for target, wanted, created in reversed(self._folders):
            if created or not self._has(target, wanted):
                self._place.place(target)
                self._copier.applier.apply(target, wanted)

    def _link(self, first: str, target: str, entry: Entry, path: str) -> None:
        """Another name of a file that has come already."""
        if not self._place.has_own(first):  # the very same was there, and did not have to come
            self._file(entry, path, target, fresh=False)
            return
        if (there := self._place.lstat(target)) is not None:
            if there.is_folder:
                raise CopyFailed(f"cannot replace to directory {self._place.guest(target)} with file")
            self._place.remove(target)
        self._place.place(os.path.dirname(target))
        os.link(first, target)

    def _copy_files(self, files: list[tuple[Entry, str, str, bool]]) -> None:
        for entry, path, target, fresh in files:
            if self._copier.cancelled.is_set():
                raise CopyFailed("context canceled")
            self._file(entry, path, target, fresh=fresh)

    def _folder(
        self,
        entry: Entry,
        path: str,
        below: str,
        target: str,
        overwrite: bool,
        include: bool,
        included: Sequence[bool],
        excluded: Sequence[bool],
        fresh: bool,
    ) -> None:
        created = include and self._make_folder(target, fresh=fresh)
        if include and (created or (overwrite and self._include is None)):
            self._folders.append((target, self._metadata(entry), created))
        self._parents.append(_Parent(path, target, include))
        for name in self._source.names(path):
            self.copy(
                join(path, name),
                join(below, name),
                os.path.join(target, name),
                overwrite=True,
                included=included,
                excluded=excluded,
                fresh=created or (fresh and not include),
            )
        self._parents.pop()

    def _has(self, target: str, wanted: Metadata) -> bool:
        there = self._place.lstat(target)
        return there is not None and metadata_of(there) == wanted

    def _make_parents(self) -> None:
        for parent in self._parents:
            if parent.copied:
                continue
            entry = self._source.lstat(parent.source)
            if entry is None or not entry.is_folder:
                raise CopyFailed(f"/{parent.source} is not a directory")
            if self._make_folder(parent.target):
                self._folders.append((parent.target, self._metadata(entry), True))
            parent.copied = True

    def _make_folder(self, target: str, *, fresh: bool = False) -> bool:
        """Whether it was made. One that is there may be a link to a folder only where the source's root goes."""
        there = None if fresh else self._place.lstat(target)
        if there is None:
            self._place.make_folder(target)
            return True
        if not there.is_folder:
            raise CopyFailed(f"cannot copy to non-directory: {self._place.guest(target)}")
        return False

    def _metadata(self, entry: Entry) -> Metadata:
        options = self._options
        uid, gid = options.owner or (entry.uid, entry.gid)
        mode = entry.mode
        if options.mode is not None and not entry.is_link:
            mode = stat.S_IFMT(mode) | options.mode.apply(mode)
        return Metadata(mode, uid, gid, entry.mtime if options.epoch is None else options.epoch, entry.xattrs)

    def _file(self, entry: Entry, path: str, target: str, *, fresh: bool) -> None:
        wanted = self._metadata(entry)
        copier = self._copier
        if not fresh:
            if not self._clear(entry, path, target, wanted):
                return
            self._place.place(os.path.dirname(target))
        if entry.is_file:
            descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                copier.copy_data(self._source, path, entry, descriptor)
                copier.applier.apply(target, wanted, descriptor)
            finally:
                os.close(descriptor)
            return
        if entry.is_link:
            os.symlink(entry.target, target)
        elif stat.S_ISSOCK(entry.mode):
            return
        else:
            copier.applier.make_device(target, replace(entry, mode=wanted.mode))
        copier.applier.apply(target, wanted)

    def _clear(self, entry: Entry, path: str, target: str, wanted: Metadata) -> bool:
        """Make place at ``target``; False when the very same file is there already."""
        there = self._place.lstat(target)
        if there is None:
            return True
        if there.is_folder:
            raise CopyFailed(f"cannot replace to directory {self._place.guest(target)} with file")
        if self._same(entry, path, there, target, wanted):
            return False
        self._place.remove(target)
        return True

    def _same(self, entry: Entry, path: str, there: Entry, target: str, wanted: Metadata) -> bool:
        if metadata_of(there) != wanted:
            return False
        if entry.is_link:
            return there.target == entry.target
        return entry.is_file and there.size == entry.size and self._same_data(entry, path, target)

    def _same_data(self, entry: Entry, path: str, target: str) -> bool:
        reader, offset = self._source.open_data(path, entry)
        try:
            with open(self._place.readable(target), "rb") as other:
                left = entry.size
                while left:
                    count = min(left, _CHUNK)
                    ours = os.pread(reader, count, offset)
                    if not ours or ours != other.read(len(ours)):
                        return False
                    left -= len(ours)
                    offset += len(ours)
        finally:
            self._source.close_data(reader)
        return True


def match_sources(source: Tree, pattern: str) -> list[str]:
    """The paths in the tree that a source with wildcards means (without them: itself), sorted as Go walks."""
    start, rest = gopath.split_wildcards(pattern)
    if not rest:
        return [start.strip("/")]
    base = resolve(source, start)
    entry = source.lstat(base)
    if entry is None or not entry.is_folder:
        return []
    found: list[str] = []
    depth = rest.count("/")
    _match_below(source, base, "", rest, depth, found)
    return found


def _match_below(source: Tree, base: str, below: str, pattern: str, depth: int, found: list[str]) -> None:
    for name in source.names(join(base, below) if below else base):
        path = join(below, name)
        if gopath.match(pattern, path):
            found.append(join(base, path))
            continue
        if path.count("/") >= depth:  # a match has as many slashes as its pattern
            continue
        entry = source.lstat(join(base, path))
        if entry is not None and entry.is_folder:
            _match_below(source, base, path, pattern, depth, found)
