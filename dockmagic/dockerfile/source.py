"""Places in a text."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """``line`` counts from 1, ``column`` from 0 in characters, as in Python's own ``ast``."""

    line: int
    column: int = 0


class Range(NamedTuple):
    """From ``start`` up to, not including, ``end``."""

    start: Position
    end: Position
