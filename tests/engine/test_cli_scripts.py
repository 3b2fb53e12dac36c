"""Whole scripts of docker's own command on both engines: the same words and exit codes, and no command left out.

``scripts/*.txt`` hold them: a title after ``#``, then lines for a shell.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.cli import Command, program
from tests.support import images

SCRIPTS = {
    block.splitlines()[0].removeprefix("# "): block.splitlines()[1:]
    for file in sorted(Path(__file__).with_name("scripts").glob("*.txt"))
    for block in file.read_text().strip().split("\n\n")
}


@pytest.fixture(scope="module")
def both(embedded: str, dockerd: str, tmp_path_factory: pytest.TempPathFactory) -> list[Command]:
    """The command on each engine, which has alpine."""
    docker = program()
    for url in (embedded, dockerd):
        images.provide(url)
    return [Command(docker, url, tmp_path_factory.mktemp("home")) for url in (embedded, dockerd)]


@pytest.mark.parametrize("title", SCRIPTS)
def test_the_same_words_from_scripts(both: list[Command], title: str) -> None:
    ours, theirs = (command.script(SCRIPTS[title]) for command in both)
    assert ours == theirs
