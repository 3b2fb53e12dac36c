"""The image store as the solver sees it: layers that the build cache keeps alive by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.builder.emptylayer import EmptyLayer
from dockmagic.images.protocols import Image, Layer

if TYPE_CHECKING:
    from dockmagic.images.store import Store


class StoreLayers:
    """Layers in the store; the cache's records hold theirs by pins of their own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def layer(self, diff_id: str) -> Layer | None:
        """A layer that is kept, or None."""
        layers = self._store.snapshots.layers
        return layers.get(diff_id) if layers.has(diff_id) else None

    def empty(self) -> Layer:
        """The layer without entries, kept."""
        empty = EmptyLayer()
        if (known := self.layer(empty.diff_id)) is not None:
            return known
        self._store.content.put(empty.open(), empty.digest)
        return self._store.snapshots.layers.keep(empty)

    def keep(self, key: str, diff_id: str, chain: str) -> None:
        """Keep a stack for the record ``key``, whatever happens to images."""
        self._store.snapshots.pin(_owner(key, diff_id), chain)

    def release(self, key: str, diff_id: str) -> None:
        """The record needs its stack no more; it goes unless an image or another record has it."""
        self._store.snapshots.unpin(_owner(key, diff_id))

    def size(self, diff_id: str) -> int:
        """bytes of a layer's files, as images count them"""
        rows = self._store.database.query("SELECT size FROM layer WHERE diff_id = ?", (diff_id,))
        return int(rows[0]["size"] or 0) if rows else 0

    def in_images(self) -> set[str]:
        """The diff ids of all layers that images have."""
        return {diff_id for image in self._store.list() for diff_id in image.diff_ids}

    def chain(self, image: Image) -> str:
        """The chain id of an image's root, unpacked."""
        chain = ""
        for layer in image.layers:
            chain = self._store.snapshots.unpack(chain, layer)
        return chain


def _owner(key: str, diff_id: str) -> str:
    """A pin's owner. A record that was done again has the same (first word of its) key, and another layer."""
    return f"build cache {key.split(' ', maxsplit=1)[0]} {diff_id}"
