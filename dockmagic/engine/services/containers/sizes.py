"""How many bytes containers take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.engine.services.containers.record import Container
from dockmagic.errors import NotFound

if TYPE_CHECKING:
    from dockmagic.images.store import Store


class Sizes:
    """``driver`` names the storage, as inspect and info show it."""

    def __init__(self, store: Store, driver: str) -> None:
        self._store = store
        self.driver = driver

    def of(self, container: Container) -> tuple[int, int]:
        """(written by the container, that and its image) in bytes."""
        written = self._store.snapshots.usage(container.id)
        try:
            return written, written + self._store.get(container.record.image_id).size
        except NotFound:  # the image was removed by force
            return written, written
