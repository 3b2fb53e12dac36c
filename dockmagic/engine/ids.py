"""Random ids. (The standard library's ``secrets`` says the same, but takes 15 ms of the engine's start to import.)"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def new_id() -> str:
    """64 hexadecimal digits, as Docker's ids have."""
    return os.urandom(32).hex()


def below(limit: int) -> int:
    """A number from 0 to ``limit`` - 1."""
    return int.from_bytes(os.urandom(8), "big") % limit


def pick(choices: Sequence[T]) -> T:
    """One of ``choices``."""
    return choices[below(len(choices))]
