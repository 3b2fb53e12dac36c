"""The layer in which nothing is, and times made not later than SOURCE_DATE_EPOCH."""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from dataclasses import dataclass
from typing import BinaryIO

_TAR = bytes(1024)


@dataclass(frozen=True)
class EmptyLayer:
    """A layer without entries: BuildKit gives one to every step that changes no file."""

    media_type: str = "application/vnd.docker.image.rootfs.diff.tar.gzip"

    @property
    def diff_id(self) -> str:
        return "sha256:" + hashlib.sha256(_TAR).hexdigest()

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(_compressed()).hexdigest()

    @property
    def size(self) -> int:
        return len(_compressed())

    def open(self) -> BinaryIO:
        return io.BytesIO(_compressed())

    def open_tar(self) -> BinaryIO:
        return io.BytesIO(_TAR)


def _compressed() -> bytes:
    packer = zlib.compressobj(6, wbits=31)
    return packer.compress(_TAR) + packer.flush()


def chain_id(parent: str, diff_id: str) -> str:
    """OCI image-spec, config.md, "Layer ChainID"."""
    return "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest() if parent else diff_id


def clamp_times(root: str, changes: list[tuple[int, str]], epoch: int) -> None:
    """No file among the changes is younger than ``epoch`` (ns): what makes a build's layers the same each time.

    Folders come after what is in them, for touching an entry changes nothing but the entry.
    """
    for kind, path in sorted(changes, key=lambda change: change[1], reverse=True):
        if kind == 2:
            continue
        full = os.path.join(root, path.lstrip("/"))
        try:
            found = os.lstat(full)
            if found.st_mtime_ns > epoch:
                os.utime(full, ns=(epoch, epoch), follow_symlinks=False)
        except FileNotFoundError:
            continue
