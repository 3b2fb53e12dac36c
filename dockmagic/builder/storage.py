"""The image store as the solver sees it: layers that the build cache keeps alive by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.database import Database
from dockmagic.images.protocols import Image, Layer

if TYPE_CHECKING:
    from dockmagic.images.store import Store


class StoreLayers:
    """Layers in the store, held for the build cache."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store = store
        self._database = database

    def layer(self, diff_id: str) -> Layer | None:
        """A layer that is kept, or None."""
        return self._store.find_layer(diff_id)

    def keep(self, layer: Layer) -> Layer:
        """Keep a layer for the build cache."""
        return self._store.hold_layer("builder", layer)

    def release(self, diff_id: str) -> None:
        """The build cache needs a layer no more; it goes unless an image has it."""
        self._store.release_layer("builder", diff_id)

    def in_images(self, diff_id: str) -> bool:
        """Whether an image has the layer."""
        return self._store.layer_in_images(diff_id)

    def chain(self, image: Image) -> str:
        """The chain id of an image's root, unpacked."""
        return self._store.chain(image)
