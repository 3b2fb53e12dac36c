"""docs/commands.md, the table of every docker command and flag, says what the code and docker's own help say."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from dockmagic.commands import tree

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """The module that writes the pages."""
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def rows() -> dict[str, list[str]]:
    lines = DOCS.joinpath("commands.md").read_text().split("\n")
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in found}


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", cell))


def test_the_table_is_what_the_code_says(hooks: ModuleType) -> None:
    assert DOCS.joinpath("commands.md").read_text() == hooks.commands_table(), "run: python docs/hooks.py"


def test_every_flag_of_dockers_help_is_told(hooks: ModuleType) -> None:
    docker = json.loads(hooks.DOCKER.read_text())
    told = rows()
    for name in hooks.TOP:
        done, refused, absent, _ = told[name]
        assert names(done) | names(refused) | names(absent) == set(docker[name]), name


def test_every_command_of_dockers_is_told(hooks: ModuleType) -> None:
    text = DOCS.joinpath("commands.md").read_text()
    for name in json.loads(hooks.DOCKER.read_text()):
        found = tree.find(name.replace(" ", "."))
        told = " ".join(found.usage.path) if found is not None else name
        assert f"`{told}`" in text or f"`{name.split()[0]}`" in text, name


def test_the_commands_that_people_use_most_are_there(hooks: ModuleType) -> None:
    assert len(hooks.TOP) == len(set(hooks.TOP)) == 40
    assert [name for name in hooks.TOP if tree.find(name) is None] == []


def test_the_reference_has_every_commands_help(hooks: ModuleType) -> None:
    text = hooks.reference()
    for place in tree.PLACES:
        found = tree.find(place)
        assert found is not None
        assert f"\n## {' '.join(found.usage.path)}\n" in text
    assert "## %dockmagic registry" in text
