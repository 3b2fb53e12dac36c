"""What builds on their way hold: nothing they stand on goes, though others delete images and prune the cache."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.errors import NotFound

if TYPE_CHECKING:
    from dockmagic.images.store import Store

_MOST = 64
"""Names of leases that an engine which was killed may have left"""


class Lease:
    """Holds stacks of layers until its build ends."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        self._owner = owner

    def hold(self, chain: str) -> bool:
        """False when the stack is not there (any more)."""
        try:
            self._store.snapshots.pin(self._owner, chain)
        except NotFound:
            return False
        return True


class Leases:
    """Gives each build a lease of its own."""

    def __init__(self, store: Store) -> None:
        """Ends what is left of the builds of an engine that was killed."""
        self._store = store
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        for number in range(_MOST):
            store.snapshots.chains.unpin(_owner(number))

    @contextlib.contextmanager
    def take(self) -> Iterator[Lease]:
        """A lease for as long as the block runs."""
        with self._lock:
            number = next(number for number in range(len(self._taken) + 1) if number not in self._taken)
            self._taken.add(number)
        try:
            yield Lease(self._store, _owner(number))
        finally:
            self._store.snapshots.unpin(_owner(number))
            with self._lock:
                self._taken.discard(number)


def _owner(number: int) -> str:
    return f"running build {number}"
