"""The magics: ``%docker``, ``%%docker``, ``%%dockerfile``, ``%dockmagic``.

Importing this is quick: docker-py, click and the commands come with the first command.
"""

from __future__ import annotations

import linecache
import re
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from dockmagic.commands.session import Session
    from dockmagic.views.view import View


@magics_class
class DockerMagics(Magics):
    """What ``%load_ext dockmagic`` registers. One session: the engine and the last image built are remembered."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._ip = shell
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        """Made by the first command."""
        if self._session is None:
            from dockmagic.commands.session import Session
            from dockmagic.notebook.console import console_for

            self._session = Session(console_for(self._ip))
        return self._session

    def close(self) -> None:
        """Let go of the engine's connection."""
        if self._session is not None:
            self._session.close()

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def docker(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> View | None:
        """Docker's command line: ``%docker run --rm alpine echo hello``; ``%docker --help`` lists the commands.

        Words are quoted as in a shell and nothing is expanded but ``@{expression}``, a Python value:
        ``%docker run -e TOKEN=@{token} alpine env``. As a cell magic the body is standard input:
        ``%%docker run -i alpine sh``, ``%%docker exec -i NAME sh``, ``%%docker build -t NAME -``; with
        ``--script python3`` it is run as that interpreter's script.
        """

        def run(session: Session) -> View | None:
            from dockmagic.commands.tree import execute

            words = self._words(line, local_ns)
            if words[:1] == ["docker"]:
                words = words[1:]
            if cell is not None:
                words = _with_stdin(words)
            return execute(session, words)

        return self._run(run, cell)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def dockerfile(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> View | None:
        """Build an image from the cell: ``%%dockerfile -t NAME``; ``%dockerfile --help`` lists the flags."""

        def run(session: Session) -> View | None:
            from dockmagic.notebook.dockerfile import build_cell

            return build_cell(session, self._words(line, local_ns), cell)

        return self._run(run, None)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def dockmagic(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> View | None:
        """What is dockmagic's own: ``%dockmagic dockerfile``, ``%dockmagic freeze``; ``%dockmagic --help``."""

        def run(session: Session) -> View | None:
            from dockmagic.notebook.own import own_command

            own: View | None = own_command(self._ip, session, self._words(line, local_ns))
            return own

        return self._run(run, None)

    def build_fragment(self, text: str, before: int) -> View | None:
        """Build the Dockerfile that a notebook's cells make; ``before`` of its lines are of earlier cells."""

        def run(session: Session) -> View | None:
            from dockmagic.notebook.dockerfile import build_fragment

            return build_fragment(session, text, before)

        return self._run(run, None)

    def _words(self, line: str, local_ns: dict[str, Any] | None) -> list[str]:
        from dockmagic.commands.errors import CommandError
        from dockmagic.notebook.words import WordsError, split

        try:
            return split(line, {**self._ip.user_ns, **(local_ns or {})})
        except WordsError as error:
            raise CommandError(f"docker: {error}") from None

    def _run(self, act: Callable[[Session], View | None], body: str | None) -> View | None:
        """Run a command in this cell: its view shown and given back, its failure the cell's."""
        from dockmagic.commands.errors import CommandError
        from dockmagic.errors import DockmagicError
        from dockmagic.notebook.console import console_for, show
        from dockmagic.notebook.errors import DockerError

        session = self.session
        session.console = console_for(self._ip, body)
        wanted = _assigned(self._ip)
        try:
            view = act(session)
        except CommandError as error:
            if error.view is not None and not error.view.told:
                show(error.view)
            raise DockerError.of(error) from None
        except DockmagicError as error:
            raise DockerError(str(error)) from None
        except KeyboardInterrupt:
            raise DockerError("Interrupted", 130) from None
        if view is None:
            return None
        if getattr(session.console, "drew", False):
            session.console.note(f"exit code: {getattr(view, 'exit_code', 0)}")
        if not view.told and not wanted:
            show(view)
        if view.told or not wanted:
            count = self._ip.execution_count
            view.shown = lambda: bool(self._ip.execution_count == count)
        if getattr(self._ip, "kernel", None) is None and _alone(self._ip):
            return None  # IPython in a terminal would write an empty Out[n] for what is shown already
        return view


def _with_stdin(words: list[str]) -> list[str]:
    """run and exec read the body: ``-i`` goes without saying."""
    place = 2 if words[:1] == ["container"] else 1
    if words[place - 1 : place] and words[place - 1] in {"run", "exec"} and "--help" not in words:
        return [*words[:place], "-i", *words[place:]]
    return words


_CALL = r"get_ipython\(\)\.run_(line|cell)_magic\("


def _assigned(shell: InteractiveShell) -> bool:
    """Whether the running line keeps the magic's value (``r = %docker ps``), so that it needs no showing."""
    return bool(re.match(r"\s*[\w.\[\]'\", *()]+=\s*" + _CALL, _line(shell)))


def _alone(shell: InteractiveShell) -> bool:
    """Whether the magic is the whole of the running line."""
    return bool(re.match(_CALL, _line(shell)))


def _line(shell: InteractiveShell) -> str:
    """The line of the cell, as IPython made it Python, that is running; "" when no cell is."""
    names = shell.user_global_ns
    frame: Any = sys._getframe()
    while frame is not None and frame.f_globals is not names:
        frame = frame.f_back
    return "" if frame is None else linecache.getline(frame.f_code.co_filename, frame.f_lineno)
