"""Owner, mode, device and extended attributes of a file in a layer: kept by the kernel, or recorded beside it.

Which of the two is ``owners``: ``real`` where chown works, ``recorded`` where it does not (dockmagic.ownership). A
record outweighs what the kernel says; without one a file of a ``recorded`` tree is root's.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Literal, NamedTuple, TypeAlias

from dockmagic import ownership
from dockmagic.ownership import Recorded

Owners = Literal["real", "recorded"]
Target: TypeAlias = "str | bytes | int"

_HIDDEN = ("user.dockmagic.", "trusted.overlay.", "user.overlay.")
"""Ours and overlayfs's own attributes are how a layer is kept, never part of it."""


class Seen(NamedTuple):
    """A file as the container sees it; ``mode`` is the whole st_mode."""

    mode: int
    uid: int
    gid: int
    device: tuple[int, int]
    xattrs: dict[str, bytes]


def see(target: Target, status: os.stat_result, owners: Owners) -> Seen:
    """What the container sees of a file whose ``status`` (never through a link) is given."""
    mode = status.st_mode
    uid, gid = (status.st_uid, status.st_gid) if owners == "real" else (0, 0)
    device = (
        (os.major(status.st_rdev), os.minor(status.st_rdev)) if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else (0, 0)
    )
    xattrs: dict[str, bytes] = {}
    for name in _names(target):
        if name == ownership.ATTRIBUTE:
            record = ownership.read(target)
            if record:
                uid, gid, mode, device = record.uid, record.gid, record.mode, (record.major, record.minor)
        elif _travels(shown := name.removeprefix(ownership.XATTR_PREFIX)):
            xattrs[shown] = _value(target, name)
    return Seen(mode, uid, gid, device, xattrs)


def disk_mode(mode: int, owners: Owners) -> int:
    """The permission bits a file gets on disk: its own, or such that its real owner can always read and enter it."""
    if owners == "real":
        return mode & 0o7777
    return mode & 0o777 | (0o700 if stat.S_ISDIR(mode) else 0o600)


def give(
    target: Target, mode: int, uid: int, gid: int, owners: Owners, device: tuple[int, int] = (0, 0), chmod: bool = True
) -> None:
    """Make the container see this owner, ``mode`` (whole st_mode) and device of a file made with :func:`disk_mode`.

    ``chmod`` false says that the permission bits on disk are right already, and there are no set-id bits (which a
    chown clears).
    """
    is_link = stat.S_ISLNK(mode)
    if owners == "real":
        try:
            os.chown(target, uid, gid, follow_symlinks=not is_link)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL):
                raise
            owners = "recorded"  # an id that this user namespace does not map
        else:
            if chmod and not is_link:
                os.chmod(target, mode & 0o7777)
            return
    if is_link:
        return  # a link can't carry a record (see dockmagic.ownership): it stays root's
    if chmod:
        os.chmod(target, disk_mode(mode, "recorded"))
    on_disk_alone = mode & 0o7000 == 0 and disk_mode(mode, "recorded") == mode & 0o777
    if uid or gid or device != (0, 0) or not on_disk_alone:
        ownership.write(target, Recorded(uid, gid, mode, *device))
    elif ownership.read(target):
        os.removexattr(target, ownership.ATTRIBUTE)


def set_xattr(target: Target, name: str, value: bytes) -> None:
    """Set an attribute of an archive's entry; where the kernel refuses, remember it; where nothing helps, lose it.

    Losing an attribute a file system can't hold is what docker does. Ours and overlay's are never taken from outside.
    """
    if name.startswith(_HIDDEN):
        return
    for attempt in (name, ownership.XATTR_PREFIX + name):
        try:
            if isinstance(target, int):
                os.setxattr(target, attempt, value)
            else:
                os.setxattr(target, attempt, value, follow_symlinks=False)
            return
        except OSError:
            continue


def _travels(name: str) -> bool:
    """Whether an attribute is part of a layer: as with docker, capabilities and the user's own; no labels, no ACLs."""
    return name == "security.capability" or (name.startswith("user.") and not name.startswith(_HIDDEN))


def _names(target: Target) -> list[str]:
    try:
        return os.listxattr(target) if isinstance(target, int) else os.listxattr(target, follow_symlinks=False)
    except OSError:  # no attributes on this file system, or a file this process may not look at
        return []


def _value(target: Target, name: str) -> bytes:
    if isinstance(target, int):
        return os.getxattr(target, name)
    return os.getxattr(target, name, follow_symlinks=False)
