"""The owner, mode and device of a file as the container sees them, where the kernel would not store them.

Without privileges ``chown``, ``mknod`` and the set-id bits cannot be had. What was asked for is remembered in an
extended attribute of the file itself, so it survives rename, hard links and clones; a layer's tar and ``stat`` in a
container read it back. Symbolic links can't carry one (the kernel refuses user.* there): their owner is root's.

Format of ``user.dockmagic.stat``: ``uid:gid:mode`` in decimal, decimal, octal (the whole st_mode, type included),
then ``:major:minor`` for a device, for which an empty regular file stands.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple, TypeAlias

ATTRIBUTE = "user.dockmagic.stat"
XATTR_PREFIX = "user.dockmagic.xattr."
"""An attribute the kernel would not store (``security.capability``) is kept under this prefix before its name."""
PathOrFd: TypeAlias = "str | bytes | int"


class Recorded(NamedTuple):
    """What the container should see: numeric owner, whole st_mode, device numbers (0, 0 when none)."""

    uid: int
    gid: int
    mode: int
    major: int = 0
    minor: int = 0

    def encode(self) -> bytes:
        text = f"{self.uid}:{self.gid}:{self.mode:o}"
        if stat.S_ISCHR(self.mode) or stat.S_ISBLK(self.mode):
            text += f":{self.major}:{self.minor}"
        return text.encode()

    @classmethod
    def decode(cls, value: bytes) -> Recorded:
        """Raises ValueError when the attribute is not ours."""
        uid, gid, mode, *device = value.decode("ascii").split(":")
        major, minor = (int(device[0]), int(device[1])) if device else (0, 0)
        return cls(int(uid), int(gid), int(mode, 8), major, minor)


def read(target: PathOrFd) -> Recorded | None:
    """The record of a file (never through a symbolic link), or None when there is none."""
    try:
        if isinstance(target, int):
            value = os.getxattr(target, ATTRIBUTE)
        else:
            value = os.getxattr(target, ATTRIBUTE, follow_symlinks=False)
    except OSError:  # ENODATA, ENOTSUP, EPERM on links: no record can be there
        return None
    try:
        return Recorded.decode(value)
    except ValueError:
        return None


def write(target: PathOrFd, record: Recorded) -> bool:
    """Remember ``record``; False where the file or its file system can't carry it (links, some network disks)."""
    try:
        if isinstance(target, int):
            os.setxattr(target, ATTRIBUTE, record.encode())
        else:
            os.setxattr(target, ATTRIBUTE, record.encode(), follow_symlinks=False)
    except OSError:
        return False
    return True


def forget(target: PathOrFd) -> None:
    """The file is root's again: take its record away, if it has one."""
    with contextlib.suppress(OSError):  # ENODATA, ENOTSUP: there is none
        if isinstance(target, int):
            os.removexattr(target, ATTRIBUTE)
        else:
            os.removexattr(target, ATTRIBUTE, follow_symlinks=False)
