"""Memory that contexts are read into, kept for the next build.

Having the kernel hand out and take back 20 MB takes longer than hashing them; somebody at a notebook builds again soon.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

SIZE = 1 << 20
"""bytes of a piece"""
_KEPT = 32
_IDLE = 30.0
"""seconds after which memory that nobody reads into goes back to the system"""


class Buffers:
    """Pieces to take and to give back; safe from any thread."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def take(self) -> bytearray:
        """A piece of :data:`SIZE` bytes, whatever is in it."""
        with self._lock:
            return self._free.pop() if self._free else bytearray(SIZE)

    def give(self, pieces: Iterable[bytearray]) -> None:
        """Pieces that nobody looks at any more."""
        with self._lock:
            self._free = [*self._free, *pieces][:_KEPT]
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(_IDLE, self._drop)
            self._timer.daemon = True
            self._timer.start()

    def _drop(self) -> None:
        with self._lock:
            self._free.clear()
