"""Writing to a clone without touching the layers its files are hard links into: the first write copies the file up.

A file of the clone is shared while it has more names than the container itself made. How many those are is kept in
``user.dockmagic.links`` of files the container linked: without the attribute one, the name itself. So files a
container linked to one another stay one file, while links inside a layer part at the copy-up, as overlayfs parts them.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat

from dockmagic.runtime.tracer.kernel import fail

LINKS = "user.dockmagic.links"


class CopyUp:
    """Of one clone. ``staging`` is a folder on the clone's file system, outside of it, for half-made copies."""

    def __init__(self, staging: bytes) -> None:
        self._staging = staging
        self._count = 0

    def shared(self, host: bytes, real: os.stat_result, follow: bool = False) -> bool:
        """Whether a layer has a name of this file too. ``follow`` for a path like /proc/PID/fd/N."""
        if real.st_nlink < 2 or stat.S_ISDIR(real.st_mode):
            return False
        return real.st_nlink > self._own_links(host, follow)

    def ensure(self, host: bytes) -> bool:
        """Make ``host`` the container's own before it is changed; whether it had to be copied. Raises OSError."""
        try:
            real = os.lstat(host)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not self.shared(host, real):
            return False
        self._count += 1
        temporary = self._staging + b"/%d-%d" % (os.getpid(), self._count)
        try:
            self._copy(host, temporary, real)
            os.rename(temporary, host)
        except BaseException:
            try:
                os.unlink(temporary)
            except OSError:
                pass  # it was never made
            raise
        return True

    def link(self, source: bytes, target: bytes) -> None:
        """Another name for a file of the container's own, and its count."""
        self.ensure(source)
        os.link(source, target, follow_symlinks=False)
        self._count_links(source, os.lstat(source).st_nlink)

    def removing(self, host: bytes) -> None:
        """A name of the file is about to go."""
        try:
            real = os.lstat(host)
        except OSError:
            return
        if real.st_nlink > 1 and not stat.S_ISDIR(real.st_mode):
            own = self._own_links(host)
            if own > 1:
                self._count_links(host, own - 1)

    def _own_links(self, host: bytes, follow: bool = False) -> int:
        try:
            return int(os.getxattr(host, LINKS, follow_symlinks=follow))
        except (OSError, ValueError):
            return 1

    def _count_links(self, host: bytes, links: int) -> None:
        try:
            os.setxattr(host, LINKS, b"%d" % links, follow_symlinks=False)
        except OSError:
            pass  # a file system without attributes: the next write copies once more, and the names part

    def _copy(self, host: bytes, temporary: bytes, real: os.stat_result) -> None:
        kind = stat.S_IFMT(real.st_mode)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(host), temporary)
        elif kind == stat.S_IFIFO:
            os.mkfifo(temporary, stat.S_IMODE(real.st_mode))
        elif kind == stat.S_IFREG:
            copy_data(host, temporary)
            _copy_attributes(host, temporary)
            os.chmod(temporary, stat.S_IMODE(real.st_mode))
        else:
            raise fail(errno.EPERM)
        if os.geteuid() == 0:
            os.chown(temporary, real.st_uid, real.st_gid, follow_symlinks=False)
            if kind == stat.S_IFREG:
                os.chmod(temporary, stat.S_IMODE(real.st_mode))
        os.utime(temporary, ns=(real.st_atime_ns, real.st_mtime_ns), follow_symlinks=False)


def copy_data(source: bytes, target: bytes, mode: int = 0o600) -> None:
    """A new file ``target`` with the bytes of ``source``: a reflink where the file system can, else in the kernel."""
    with open(source, "rb") as old:
        number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(number, "wb") as new:
            if not _reflink(old.fileno(), new.fileno()) and not _send(old.fileno(), new.fileno()):
                shutil.copyfileobj(old, new)


def _reflink(source: int, target: int) -> bool:
    import fcntl

    try:
        fcntl.ioctl(target, 0x40049409, source)  # FICLONE, linux/fs.h
    except OSError:
        return False
    return True


def _send(source: int, target: int) -> bool:
    """Copy in the kernel from the start; False when nothing was copied and it has to be done by hand."""
    at = 0
    while True:
        try:
            count = os.sendfile(target, source, at, 1 << 30)
        except OSError:
            if at:
                raise
            return False
        if count == 0:
            return True
        at += count


def _copy_attributes(source: bytes, target: bytes) -> None:
    for name in os.listxattr(source, follow_symlinks=False):
        if name == LINKS:
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        except OSError:
            pass  # security.* and the like: not ours to set
