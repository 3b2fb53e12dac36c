"""How a row is measured and printed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


def milliseconds(action: Callable[[], object], times: int = 10) -> float:
    """The median of ``times`` runs, after one that does not count."""
    action()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


@dataclass(frozen=True)
class Row:
    """One comparison: ours, the other's, both in ``unit``; the goal is the greatest ratio wanted."""

    name: str
    ours: float
    other: float | None = None
    goal: float | None = None
    unit: str = "ms"

    def __str__(self) -> str:
        text = f"{self.name:52} {self.ours:9.1f} {self.unit}"
        if self.other is None:
            met = "" if self.goal is None else f"   goal {self.goal:g}: {'met' if self.ours <= self.goal else 'missed'}"
            return text + met
        ratio = self.ours / self.other
        text += f"   other {self.other:9.1f} {self.unit}   ratio {ratio:.3f}"
        return text + (
            "" if self.goal is None else f"   goal {self.goal:g}: {'met' if ratio <= self.goal else 'missed'}"
        )
