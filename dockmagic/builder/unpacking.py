"""ADD of archives: what counts as one, and unpacking it as docker's ``archive.Untar`` does."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from dockmagic import inroot
from dockmagic.builder.context import compression, decompressed, looks_like_tar, unlinked
from dockmagic.builder.copying import Copier, CopyFailed, CopyOptions, make_folders
from dockmagic.builder.metadata import Metadata
from dockmagic.builder.tartree import Member, read_members
from dockmagic.builder.tree import Entry, FolderTree, Tree
from dockmagic.errors import InvalidParameter

_CHUNK = 1 << 20
_BLOCK = 512
_FORMATS = {
    b"0": stat.S_IFREG, b"\0": stat.S_IFREG, b"7": stat.S_IFREG, b"2": stat.S_IFLNK, b"3": stat.S_IFCHR,
    b"4": stat.S_IFBLK, b"5": stat.S_IFDIR, b"6": stat.S_IFIFO,
}  # fmt: skip


def _read(tree: Tree, path: str, entry: Entry) -> Iterator[bytes]:
    descriptor, offset = tree.open_data(path, entry)
    try:
        left = entry.size
        while left and (chunk := os.pread(descriptor, min(left, _CHUNK), offset)):
            yield chunk
            left -= len(chunk)
            offset += len(chunk)
    finally:
        tree.close_data(descriptor)


def is_archive(tree: Tree, path: str, entry: Entry) -> bool:
    """Whether a file is a tar, plain or compressed: its first header says so."""
    if not entry.is_file or entry.size < 16:
        return False
    chunks = _read(tree, path, entry)
    head = next(chunks, b"")
    block = b""
    try:
        for data in decompressed(compression(head), itertools.chain([head], chunks)):
            block += data
            if len(block) >= _BLOCK:
                break
    except InvalidParameter:  # looks compressed, and is not
        return False
    block = block[:_BLOCK]
    return any(block) and looks_like_tar(block)


def unpack(
    tree: Tree, path: str, entry: Entry, copier: Copier, destination: str, options: CopyOptions, folder: Path
) -> None:
    """Unpack the archive at ``path`` into the folder ``destination``; ``folder`` takes a temporary file."""
    root = inroot.resolve(copier.root, destination)
    make_folders(copier.destination, destination, copier.applier, options)
    chunks = _read(tree, path, entry)
    head = next(chunks, b"")
    descriptor = unlinked(folder, decompressed(compression(head), itertools.chain([head], chunks)))
    try:
        _Unpacker(descriptor, root, copier, options).run()
    finally:
        os.close(descriptor)


class _Unpacker:
    def __init__(self, descriptor: int, root: str, copier: Copier, options: CopyOptions) -> None:
        self._descriptor = descriptor
        self._root = root
        self._copier = copier
        self._options = options
        self._folders: dict[str, Metadata] = {}

    def run(self) -> None:
        for member in read_members(self._descriptor):
            if self._copier.cancelled.is_set():
                raise CopyFailed("context canceled")
            self._place(member)
        for path, metadata in sorted(self._folders.items(), reverse=True):
            self._copier.applier.apply(path, metadata)

    def _place(self, member: Member) -> None:
        parent, _, name = member.name.strip("/").rpartition("/")
        if name in {"", ".", ".."}:
            return
        kind = _FORMATS.get(member.kind)
        if kind is None and member.kind != b"1":
            return
        folder = inroot.resolve(self._root, parent)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        target = os.path.join(folder, name)
        if not self._clear(target, folder_comes=kind == stat.S_IFDIR):
            os.mkdir(target, 0o700)
        if kind is None:
            os.link(inroot.resolve(self._root, member.link, follow_last=False), target, follow_symlinks=False)
            return
        metadata = self._metadata(member, kind)
        if kind == stat.S_IFDIR:
            self._folders[target] = metadata
        elif kind == stat.S_IFREG:
            self._file(member, target, metadata)
        else:
            if kind == stat.S_IFLNK:
                os.symlink(member.link, target)
            else:
                entry = Entry(metadata.mode, metadata.uid, metadata.gid, device=member.device)
                self._copier.applier.make_device(target, entry)
            self._copier.applier.apply(target, metadata)

    def _clear(self, target: str, *, folder_comes: bool) -> bool:
        """Make place; True when nothing is to be made because a folder is there and one comes."""
        try:
            found = os.lstat(target)
        except FileNotFoundError:
            return not folder_comes
        if stat.S_ISDIR(found.st_mode):
            if folder_comes:
                return True
            shutil.rmtree(target)
        else:
            os.unlink(target)
        return not folder_comes

    def _metadata(self, member: Member, kind: int) -> Metadata:
        uid, gid = self._options.owner or (member.uid, member.gid)
        mode = kind | (0o777 if kind == stat.S_IFLNK else member.mode)
        epoch = self._options.epoch
        return Metadata(mode, uid, gid, member.mtime if epoch is None else epoch, member.xattrs)

    def _file(self, member: Member, target: str, metadata: Metadata) -> None:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            entry = Entry(metadata.mode, size=member.size, offset=member.offset)
            self._copier.copy_data(_Spool(self._descriptor), "", entry, descriptor)
            self._copier.applier.apply(target, metadata, descriptor)
        finally:
            os.close(descriptor)


class _Spool(FolderTree):
    """The archive's own file as what members' data is read from."""

    def __init__(self, descriptor: int) -> None:
        super().__init__("/")
        self._descriptor = descriptor

    def open_data(self, path: str, entry: Entry) -> tuple[int, int]:
        return self._descriptor, entry.offset

    def close_data(self, descriptor: int) -> None:
        """It stays open for the next member."""
