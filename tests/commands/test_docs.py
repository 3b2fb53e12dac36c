"""The table of commands and flags in docs/commands.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dockmagic.commands import tree

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"


def rows() -> list[list[str]]:
    lines = DOCS.read_text().split("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", cell))


@pytest.mark.parametrize("row", [r for r in rows() if len(r) == 5], ids=lambda r: r[0])
def test_flags(row: list[str]) -> None:
    found = tree.find(row[0].strip("`").replace(" ", "."))
    assert found is not None
    assert names(row[1]) | names(row[4]) == set(found.usage.flags)
    assert names(row[2]) >= set(found.refused)
    assert not names(row[3]) & set(found.usage.flags)


def test_every_command_is_there() -> None:
    told = {r[0].strip("`").replace(" ", ".") for r in rows()}
    ours = {".".join(c.usage.path) for c in map(tree.find, tree.PLACES) if c is not None}
    assert ours - told == {"debug", "flow"}
    assert set(tree.ABSENT) | tree.SWARM <= told
