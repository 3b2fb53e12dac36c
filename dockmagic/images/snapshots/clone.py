"""A root without a mount: folders are made anew, files are hard links into the layers, or copies.

Links (50,000 files in about half a second) are for a runtime that copies up before a write; copies, whose blocks the
file system shares where it can (btrfs, xfs), are for one that does not. Either way the layers are never written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from dockmagic.images.attributes import Owners
from dockmagic.images.files import clear_disk_errors
from dockmagic.images.snapshots.stack import Node, Source, Stack
from dockmagic.images.untar import copy_attributes, copy_file

_CAN_NOT_LINK = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EACCES, errno.ENOTSUP)


def clone(stack: Stack, target: Path, owners: Owners, *, links: bool) -> None:
    """Fill the empty folder ``target`` with the tree of ``stack``. Raises DockmagicError when the disk is full."""
    job = _Clone(stack, owners, links)
    with clear_disk_errors(f"write {target}"):
        job.run(os.fsencode(target))


class _Clone:
    def __init__(self, stack: Stack, owners: Owners, links: bool) -> None:
        self._stack = stack
        self._owners: Owners = owners
        self._links = links
        self._copied: dict[tuple[int, int], bytes] = {}
        """Copies made of files with several names, so that the clone's names are one file too."""
        self._guard = threading.Lock()

    def run(self, target: bytes) -> None:
        """Two threads: a link is one system call, during which the other thread's Python runs."""
        if not self._stack.roots:
            return
        todo: list[Callable[[], None]] = []
        self._folder(b"", self._stack.roots, target, todo)
        failures: list[BaseException] = []

        def work() -> None:
            while not failures:
                try:
                    action = todo.pop()
                except IndexError:
                    return
                try:
                    action()
                except BaseException as error:
                    failures.append(error)

        helper = threading.Thread(target=work, name="clone")
        helper.start()
        work()
        helper.join()
        if failures:
            raise failures[0]
        self._finish(self._stack.roots, target)

    def _folder(
        self, name: bytes, sources: tuple[Source, ...], target: bytes, todo: list[Callable[[], None]] | None
    ) -> None:
        """One folder and all below it; the subfolders are left in ``todo`` when that is given."""
        for base, node in self._stack.children(name, sources).items():
            path = target + b"/" + base
            if not node.sources:
                self._file(node, path)
                continue
            os.mkdir(path, 0o700)
            inner = name + b"/" + base if name else base
            if todo is None:
                self._folder(inner, node.sources, path, None)
                self._finish(node.sources, path)
            else:
                todo.append(self._later(inner, node.sources, path, todo))

    def _later(
        self, name: bytes, sources: tuple[Source, ...], path: bytes, todo: list[Callable[[], None]]
    ) -> Callable[[], None]:
        def action() -> None:
            self._folder(name, sources, path, None)
            self._finish(sources, path)

        return action

    def _finish(self, sources: tuple[Source, ...], path: bytes) -> None:
        """A folder gets its owner, mode and times when it is full."""
        source = sources[0].path
        status = os.lstat(source)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            copy_attributes(os.fsdecode(source), fd, self._owners)
            os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(fd)

    def _file(self, node: Node, path: bytes) -> None:
        if self._links:
            try:
                os.link(node.entry.path, path, follow_symlinks=False)
                return
            except OSError as error:
                if error.errno not in _CAN_NOT_LINK:
                    raise
        self._copy(node, path)

    def _copy(self, node: Node, path: bytes) -> None:
        source = node.entry.path
        status = node.entry.stat(follow_symlinks=False)
        if status.st_nlink > 1:
            with self._guard:
                first = self._copied.get((status.st_dev, status.st_ino))
                if first is not None:
                    os.link(first, path, follow_symlinks=False)
                    return
                self._one(source, status, path)
                self._copied[status.st_dev, status.st_ino] = path
                return
        self._one(source, status, path)

    def _one(self, source: bytes, status: os.stat_result, path: bytes) -> None:
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            folder, _, base = path.rpartition(b"/")
            at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                copy_file(os.fsdecode(source), base, at, self._owners)
            finally:
                os.close(at)
            return
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(source), path)
        else:
            os.mknod(path, status.st_mode, status.st_rdev)
            os.chmod(path, status.st_mode & 0o7777)
        if self._owners == "real":
            with contextlib.suppress(PermissionError):
                os.lchown(path, status.st_uid, status.st_gid)
                if kind != stat.S_IFLNK:
                    os.chmod(path, status.st_mode & 0o7777)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)
