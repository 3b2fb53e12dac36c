"""Control groups: limits, accounting and freezing, as far as this machine lets us."""

from __future__ import annotations


def join_same(target: int) -> None:
    """Put the calling process into the control groups of ``target``."""
