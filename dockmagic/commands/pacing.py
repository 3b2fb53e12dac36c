"""A live place is drawn a few times a second, whatever happens behind it, and ticks while nothing happens."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable


class Pacer:
    """Calls ``draw`` at most every ``pause`` seconds after :meth:`touch`, never loses the last one, and goes on every
    ``tick`` seconds so that elapsed times move. Nothing is drawn after :meth:`stop`.
    """

    def __init__(self, draw: Callable[[], None], pause: float, tick: float = 1.0) -> None:
        self._draw = draw
        self._pause = pause
        self._tick = tick
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._last = 0.0
        self._stopped = False
        self._context = contextvars.copy_context()  # a kernel knows by it whose output this is

    def touch(self) -> None:
        """Something changed."""
        with self._lock:
            if self._stopped:
                return
            rest = self._last + self._pause - time.monotonic()
            if rest <= 0:
                self._now()
            else:
                self._later(rest)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()

    def _now(self) -> None:
        self._last = time.monotonic()
        self._draw()
        self._later(self._tick)

    def _later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._due)
        self._timer.daemon = True
        self._timer.start()

    def _due(self) -> None:
        with self._lock:
            if not self._stopped:
                self._context.copy().run(self._now)
