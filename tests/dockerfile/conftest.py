"""Fixtures of the room: peers' cases, and a place to print a score."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Score = Callable[[str, list[str], int], None]


@pytest.fixture
def cases(conformance: Path) -> Callable[[str], list[Any]]:
    """Reads a file of cases: one JSON list, or an object a line."""

    def read(name: str) -> list[Any]:
        text = (conformance / name).read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)

    return read


@pytest.fixture
def score(capsys: pytest.CaptureFixture[str]) -> Score:
    """Prints how many of a suite's cases came out right, and fails the test with the others."""

    def report(suite: str, misses: list[str], total: int) -> None:
        with capsys.disabled():
            print(f"\n  {suite}: {total - len(misses)} of {total}")
        assert not misses, "\n".join(misses[:20])

    return report
