"""The layer in which nothing is."""

from __future__ import annotations

import hashlib
import io
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
