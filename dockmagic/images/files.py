"""Small things about files that several of this room need: whole writes, clear errors, removal of whole trees."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from dockmagic.errors import DockmagicError

_MAX_DEPTH = 60
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


@contextlib.contextmanager
def clear_disk_errors(what: str) -> Iterator[None]:
    """Turn a full, over-quota or read-only disk inside the block into one DockmagicError with docker's words."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DockmagicError(f"{what}: {os.strerror(error.errno or 0).lower()}") from error


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte of ``data``; a short write (a disk nearly full, a signal) is continued."""
    written = os.write(fd, data)
    while written < len(data):
        data = memoryview(data)[written:]
        written = os.write(fd, data)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:  # some network file systems can't; nothing more can be done there
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def unchanged_times(folder: str | bytes) -> Iterator[None]:
    """Give ``folder`` its times back at the end of the block: they are part of a layer."""
    status = os.lstat(folder)
    yield
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a folder and all below it, never through a symbolic link; nothing when it is not there.

    Folders whose mode forbids their owner to look inside (mode 000, say) are opened first.
    """
    try:
        os.unlink(path)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):  # POSIX lets unlink of a folder say either
        pass
    top = os.open(os.path.dirname(os.fspath(path)) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        todo = [os.path.basename(os.fspath(path))]
        while todo:
            _remove_folder(top, todo.pop(), _Aside(top, todo))
    finally:
        os.close(top)


class _Aside:
    """Takes folders too deep to hold a descriptor for each level: moved up, they are removed from there."""

    def __init__(self, top: int, todo: list[str]) -> None:
        self._top = top
        self._todo = todo

    def take(self, parent: int, name: str) -> None:
        new = f".remove-{os.urandom(8).hex()}"
        os.rename(name, new, src_dir_fd=parent, dst_dir_fd=self._top)
        self._todo.append(new)


def _remove_folder(parent: int, name: str, aside: _Aside, depth: int = 0) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        fd = os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(fd)
        if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(fd, 0o700)
        with os.scandir(fd) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for child, is_folder in found:
            with contextlib.suppress(FileNotFoundError):
                if not is_folder:
                    os.unlink(child, dir_fd=fd)
                elif depth == _MAX_DEPTH:
                    aside.take(fd, child)
                else:
                    _remove_folder(fd, child, aside, depth + 1)
    finally:
        os.close(fd)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=parent)
