"""A session on each engine, and ways to run commands in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dockmagic import client
from dockmagic.commands.console import Buffer
from dockmagic.commands.session import Session
from dockmagic.commands.tree import execute


class Shell:
    """Runs command lines on one engine, each with a console of its own."""

    def __init__(self, url: str) -> None:
        self.session = Session(Buffer(), lambda: client.Choice(url, "test"))
        self.console = Buffer()

    def __call__(self, *words: str, stdin: bytes | None = None) -> Any:
        """The view, or None; what was written is in ``console``."""
        self.console = Buffer(stdin)
        self.session.console = self.console
        return execute(self.session, words)

    def text(self, *words: str, stdin: bytes | None = None) -> str:
        """All that a reader sees of standard output."""
        view = self(*words, stdin=stdin)
        shown = "" if view is None or view.told else f"{view.text()}\n" if view.text() else ""
        return self.console.stdout.decode() + shown


@pytest.fixture
def shell(run_engine: str) -> Iterator[Shell]:
    made = Shell(run_engine)
    yield made
    made.session.close()


@pytest.fixture
def container(shell: Shell) -> Iterator[Callable[..., str]]:
    """Starts containers that are gone when the test ends."""
    started: list[str] = []

    def run(*words: str) -> str:
        handle = shell("run", "-d", *words)
        started.append(handle.id)
        return str(handle.id)

    yield run
    for name in started:
        shell("rm", "-f", name)
