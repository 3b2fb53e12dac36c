"""docker's JSON progress messages (moby pkg/jsonmessage, pkg/streamformatter)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

Report = Callable[[dict[str, Any]], None]
_INTERVAL = 0.1
"""seconds between two messages about the same bytes"""


class Progress:
    """Sends messages to ``report``, one at a time whichever thread speaks, and not more often than people can read."""

    def __init__(self, report: Report | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report or (lambda message: None)
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], float] = {}

    def send(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._report(message)

    def say(self, status: str) -> None:
        """A line of its own."""
        self.send({"status": status})

    def message(self, identity: str, status: str) -> None:
        """A line that begins with ``identity``."""
        self.send({"status": status, "id": identity})

    def step(self, identity: str, status: str) -> None:
        """A layer's new state."""
        self.send({"status": status, "progressDetail": {}, "id": identity})

    def retrying(self, identity: str, seconds: float) -> None:
        """A layer waits before it is tried again."""
        rounded = max(1, round(seconds))
        self.step(identity, f"Retrying in {rounded} second{'s' if rounded > 1 else ''}")

    def moved(self, identity: str, status: str, current: int, total: int) -> None:
        """``current`` of ``total`` bytes done; the last one is always sent."""
        now = self._clock()
        with self._lock:
            last = self._last.get((identity, status))
            if last is not None and now - last < _INTERVAL and current < total:
                return
            self._last[identity, status] = now
            self._report(
                {
                    "status": status,
                    "progressDetail": {"current": current, "total": total} if total > 0 else {"current": current},
                    "progress": bar(current, total),
                    "id": identity,
                }
            )


def bar(current: int, total: int) -> str:
    """The bar that docker draws, for clients that print it as it comes (jsonmessage.JSONProgress.String)."""
    if current <= 0 and total <= 0:
        return ""
    if total <= 0 or current > total:
        return f"{human_size(current):>8}"
    done = min(50, int(current / total * 100) // 2)
    return f"[{'=' * done}>{' ' * (50 - done)}] {human_size(current):>8}/{human_size(total)}"


def human_size(size: float) -> str:
    """As go-units' HumanSize: four digits, powers of 1000."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    index = 0
    while size >= 1000 and index < len(units) - 1:
        size /= 1000
        index += 1
    return f"{size:.4g}{units[index]}"
