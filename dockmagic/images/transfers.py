"""Keeping half-made things safe and tidy: what a pull or a load has unpacked before its image is in the store."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.errors import NotFound
from dockmagic.images.protocols import Layer

if TYPE_CHECKING:
    from dockmagic.images.store import Store

_OWNER = "transfer:"
_TRIES = 3


class Transfer:
    """Unpacks layers and keeps them until the end of the ``with`` block of :func:`transfer`."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        self._owner = owner

    def unpack(self, parent: str, layer: Layer) -> str:
        """As Snapshots.unpack; nobody's deletion takes the stack away before the block ends."""
        for last in (False,) * (_TRIES - 1) + (True,):
            chain = self._store.snapshots.unpack(parent, layer)
            try:
                self._store.snapshots.pin(self._owner, chain)
                return chain
            except NotFound:  # the last image that had it was deleted between the two calls
                if last:
                    raise
        raise AssertionError("unreachable")


@contextlib.contextmanager
def transfer(store: Store) -> Iterator[Transfer]:
    """What is unpacked in the block stays if an image has it at the end, and goes otherwise."""
    owner = _OWNER + uuid.uuid4().hex
    try:
        yield Transfer(store, owner)
    finally:
        store.snapshots.unpin(owner)


def forget_interrupted(store: Store) -> None:
    """Tidy up after a crash in the middle of a pull or a load. To be called before any begins, at the engine's start.

    Whole blobs that no layer has go. Partial ones stay: the next pull goes on from there.
    """
    for row in store.database.query("SELECT DISTINCT owner FROM pin WHERE owner LIKE ?", (_OWNER + "%",)):
        store.snapshots.unpin(row["owner"])
    known = {row["digest"] for row in store.database.query("SELECT digest FROM layer_blob")}
    for digest in list(store.content.digests()):
        if digest not in known:
            store.content.remove(digest)
