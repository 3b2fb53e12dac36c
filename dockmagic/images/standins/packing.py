"""Writes entries as a layer's tar, the same bytes for the same entries."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable
from typing import IO

from dockmagic.images.standins.gather import Entry


def write(entries: Iterable[Entry], out: IO[bytes]) -> None:
    """Write a tar of ``entries``, everything owned by root, to ``out``.

    Raises OSError when a file changed its size meanwhile.
    """
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            header = tarfile.TarInfo(entry.path.lstrip("/"))
            header.mode = stat.S_IMODE(entry.mode)
            header.mtime = entry.mtime or 0
            if stat.S_ISDIR(entry.mode):
                header.type = tarfile.DIRTYPE
                tar.addfile(header)
            elif stat.S_ISLNK(entry.mode):
                header.type, header.linkname = tarfile.SYMTYPE, entry.link
                tar.addfile(header)
            elif entry.hard:
                header.type, header.linkname = tarfile.LNKTYPE, entry.link.lstrip("/")
                tar.addfile(header)
            elif entry.data is not None:
                header.size = len(entry.data)
                tar.addfile(header, io.BytesIO(entry.data))
            else:
                header.size = entry.size
                with open(entry.source, "rb") as file:
                    tar.addfile(header, file)
