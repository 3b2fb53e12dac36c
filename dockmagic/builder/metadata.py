"""Owner, mode, times and attributes onto a file in a snapshot, by the kernel where it can, else as a record."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from dockmagic import ownership
from dockmagic.builder.tree import Entry


@dataclass(frozen=True)
class Metadata:
    """What a copied file is to have."""

    mode: int
    """whole st_mode"""
    uid: int
    gid: int
    mtime: int | None
    """ns; None leaves the time of writing"""
    xattrs: dict[str, bytes]


class Applier:
    """Gives files their metadata.

    ``real_owners``: the kernel can store any owner (``id_mapping`` is ``host`` or ``range``); without it what differs
    from "root's, accessible to its owner" is kept in a :mod:`dockmagic.ownership` record.
    """

    def __init__(self, *, real_owners: bool) -> None:
        self.real_owners = real_owners
        self._is_root = os.geteuid() == 0

    def apply(self, path: str, wanted: Metadata, descriptor: int | None = None) -> None:
        """``descriptor`` is an open one of ``path`` when there is one: quicker, and no link can come between."""
        link = stat.S_ISLNK(wanted.mode)
        target: int | str = path if descriptor is None else descriptor
        recorded = not self._chown(target, path, wanted, link=link)
        for name, value in wanted.xattrs.items():
            try:
                os.setxattr(target, name, value, follow_symlinks=descriptor is not None)
            except OSError:  # not on this file system, or not ours to set: BuildKit goes on too
                continue
        if not link:
            bits = stat.S_IMODE(wanted.mode)
            if recorded:
                bits = bits & 0o777 | self._accessible(wanted.mode)
            os.chmod(target, bits)
            if recorded:
                self._record(target, wanted)
        if wanted.mtime is not None:
            times = (wanted.mtime, wanted.mtime)
            if descriptor is None:
                os.utime(path, ns=times, follow_symlinks=False)
            else:
                os.utime(descriptor, ns=times)

    def _chown(self, target: int | str, path: str, wanted: Metadata, *, link: bool) -> bool:
        """Whether the kernel stores the owner as wanted."""
        if not self.real_owners:
            return link
        try:
            if isinstance(target, int):
                os.fchown(target, wanted.uid, wanted.gid)
            else:
                os.lchown(path, wanted.uid, wanted.gid)
        except PermissionError:
            return False
        except OSError:  # EINVAL: an id that the user namespace does not map
            return False
        return True

    def _accessible(self, mode: int) -> int:
        """The bits without which we could not read the file again; root, be it of a user namespace, needs none."""
        if self._is_root:
            return 0
        return 0o700 if stat.S_ISDIR(mode) else 0o600

    def _record(self, target: int | str, wanted: Metadata) -> None:
        accessible = self._accessible(wanted.mode)
        plain = not wanted.uid and not wanted.gid and not wanted.mode & 0o7000
        if plain and wanted.mode & accessible == accessible:
            if stat.S_ISDIR(wanted.mode):  # which may have been another's before; files are always new
                ownership.forget(target)
            return
        ownership.write(target, ownership.Recorded(wanted.uid, wanted.gid, wanted.mode))

    def make_device(self, path: str, entry: Entry) -> None:
        """A device node or pipe at ``path``; where the kernel forbids it, an empty file with a record."""
        if stat.S_ISFIFO(entry.mode):
            os.mkfifo(path, 0o600)
            return
        try:
            os.mknod(path, stat.S_IFMT(entry.mode) | 0o600, os.makedev(*entry.device))
        except PermissionError:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            ownership.write(path, ownership.Recorded(entry.uid, entry.gid, entry.mode, *entry.device))
