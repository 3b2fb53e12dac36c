"""A layer whose bytes are a blob of the content store."""

from __future__ import annotations

from typing import BinaryIO

from dockmagic.images.compression import decompressed
from dockmagic.images.content import Content


class BlobLayer:
    """A pulled or loaded layer (see protocols.Layer)."""

    def __init__(self, content: Content, digest: str, size: int, media_type: str, diff_id: str) -> None:
        self._content = content
        self.digest = digest
        self.size = size
        self.media_type = media_type
        self.diff_id = diff_id

    def open(self) -> BinaryIO:
        return self._content.open(self.digest)

    def open_tar(self) -> BinaryIO:
        return decompressed(self.open())
