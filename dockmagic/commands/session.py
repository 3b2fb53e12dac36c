"""What a command works with: the engine it asks and the console it writes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dockmagic import client
from dockmagic.commands.api import Engine
from dockmagic.commands.errors import CommandError
from dockmagic.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic.commands.console import Console

Choose = Callable[[], client.Choice]


class Session:
    """One user's line of commands. The engine is looked for when it is first needed, and again when the choice changes.

    ``last_image`` is what the last build made; ``_`` stands for it where an image is named. ``outputs`` is what steps
    of builds wrote, by the instructions up to each: a step from the cache writes nothing.
    """

    def __init__(self, console: Console, choose: Choose = client.choose) -> None:
        self.console = console
        self.last_image = ""
        self.failed: FailedBuild | None = None
        self.outputs: dict[tuple[str, ...], str] = {}
        self.folder = Path()
        self.program = "docker"
        self._choose = choose
        self._engine: Engine | None = None
        self._choice: client.Choice | None = None
        self._fresh = False

    def begin(self) -> None:
        """A new command line: look at the engine afresh; the environment may have changed, or it may have ended."""
        self._fresh = False

    @property
    def choice(self) -> client.Choice:
        """The engine chosen, whether it answers or not."""
        try:
            return self._choose()
        except DockmagicError as error:
            raise CommandError(str(error)) from None

    @property
    def engine(self) -> Engine:
        """The engine that answers. Raises CommandError when none does."""
        if self._engine is not None and self._fresh:
            return self._engine
        choice = self.choice
        if self._engine is None or choice != self._choice or (choice.embedded and not client.answers(choice.url)):
            self.close()
            try:
                self._engine = Engine(client.connect(choice), choice.url)
            except DockmagicError as error:
                raise CommandError(str(error)) from None
            self._choice = choice
        self._fresh = True
        return self._engine

    def close(self) -> None:
        """Let go of the connection; the next command makes a new one."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def use_host(self, url: str) -> None:
        """``docker -H``: from now on this session asks the engine at ``url``."""
        self._choose = lambda: client.Choice(url, "-H")

    def use_context(self, name: str) -> None:
        """``docker --context``."""
        chosen = client.context_choice(name)
        self._choose = lambda: replace(chosen, reason=f"context {name}")

    def image(self, name: str) -> str:
        """``name``, or the last image built when it is ``_``."""
        if name != "_":
            return name
        if not self.last_image:
            raise CommandError("_ is the last image built here, and none was built yet")
        return self.last_image


class FailedBuild:
    """Where a build failed, for ``docker debug``: the Dockerfile up to the failing step, and that step."""

    def __init__(self, dockerfile: str, context: str, line: int, step: str) -> None:
        self.dockerfile = dockerfile
        self.context = context
        self.line = line
        self.step = step
