"""A folder's content copied with owners, modes, times and extended attributes: what a new volume gets of its image."""

from __future__ import annotations

import os
import shutil
import stat


def copy_content(source: str, target: str) -> None:
    """Copy what is in the folder ``source`` into the folder ``target``, and the folder's own owner and mode."""
    for entry in sorted(os.scandir(source), key=lambda e: e.name):
        _copy(entry.path, os.path.join(target, entry.name))
    copy_metadata(source, target)


def copy_metadata(source: str, target: str) -> None:
    """Owner, mode, extended attributes and times, never through a symbolic link."""
    info = os.lstat(source)
    try:
        os.lchown(target, info.st_uid, info.st_gid)
    except OSError:  # a single mapped id: the owner is in the attribute copied below
        pass
    for name in _attributes(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        except OSError:  # trusted.* without privileges, a file system without attributes
            pass
    if not stat.S_ISLNK(info.st_mode):
        os.chmod(target, stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def _attributes(path: str) -> list[str]:
    try:
        return [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.overlay")]
    except OSError:
        return []


def _copy(source: str, target: str) -> None:
    mode = os.lstat(source).st_mode
    if stat.S_ISDIR(mode):
        os.mkdir(target)
        copy_content(source, target)
        return
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(mode):
        shutil.copyfile(source, target)
    elif stat.S_ISFIFO(mode):
        os.mkfifo(target)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        os.mknod(target, mode, os.lstat(source).st_rdev)
    else:
        return  # a socket means nothing without its process
    copy_metadata(source, target)
