"""A cell as the place where commands write: its streams, one display that is updated, its body as standard input."""

from __future__ import annotations

import codecs
import getpass
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic.commands.console import Console, Live, Resize
from dockmagic.commands.pacing import Pacer
from dockmagic.commands.terminal import Once, Terminal

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from dockmagic.notebook.liveterminal import LiveTerminal
    from dockmagic.views.view import View

PAUSE = 0.15
"""Seconds between two updates of a live display."""

EMPTY = {"text/plain": "", "text/html": ""}


def console_for(shell: InteractiveShell, body: str | None = None) -> Console:
    """The cell's console; in a terminal IPython, and without a body, the terminal itself, so that -it is one."""
    in_kernel = getattr(shell, "kernel", None) is not None
    if not in_kernel and body is None and sys.stdin.isatty() and sys.stdout.isatty():
        return Terminal()
    return CellConsole(shell, body)


class CellConsole:
    """The console of one magic's run. ``body`` is the cell's text; None for a line magic."""

    lines_only = False

    def __init__(self, shell: InteractiveShell, body: str | None = None) -> None:
        self.stdin: BinaryIO | None = None if body is None else io.BytesIO(body.encode())
        self._shell: Any = shell
        self._live: LiveTerminal | None = None
        self.drew = False
        """Whether a terminal was drawn: its command is answered with its exit code."""
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(2)]

    @property
    def rich(self) -> bool:
        """Whether the frontend is one that shows HTML: a kernel's, not IPython in a terminal."""
        return getattr(self._shell, "kernel", None) is not None

    @property
    def terminal(self) -> bool:
        """Whether a terminal is in the output now."""
        return self._live is not None

    @property
    def watched(self) -> bool:
        return self.rich and self.confirms

    @property
    def confirms(self) -> bool:
        kernel: Any = getattr(self._shell, "kernel", None)
        if self.stdin is not None:
            return False
        return bool(getattr(kernel, "_allow_stdin", False)) if kernel is not None else sys.stdin.isatty()

    def out(self, data: bytes) -> None:
        if self._live is not None:
            self._live.write(data)
            return
        sys.stdout.write(self._decoders[0].decode(data))

    def err(self, data: bytes) -> None:
        sys.stderr.write(self._decoders[1].decode(data))

    def note(self, line: str) -> None:
        """Remarks are no errors: they go where a reader reads on, not into a red box."""
        sys.stdout.write(f"{line}\n")

    def ask(self, question: str, secret: bool = False) -> str:
        sys.stdout.flush()
        return getpass.getpass(question) if secret else input(question)

    def live(self, *, notes: bool = False) -> Live:
        return Display() if self.rich else Once(self.out)

    @contextmanager
    def raw_terminal(self, resize: Resize | None) -> Iterator[None]:
        """A terminal in the output, if the frontend draws one; else nothing is different."""
        from dockmagic.notebook.liveterminal import LiveTerminal, possible

        live = LiveTerminal(resize) if possible(self._shell.kernel) else None
        sys.stdout.flush()
        if live is None or not live.open():
            if live is not None:
                self.note("This frontend draws no terminal while a cell runs: input is asked for line by line.")
            yield
            return
        self._live, self.stdin, self.drew = live, live.stdin, True
        try:
            yield
        finally:
            self._live = self.stdin = None
            live.close()

    def signals(self, send: Callable[[str], None]) -> AbstractContextManager[None]:
        return nullcontext()


class Display:
    """One display of the cell's output that is updated and, at the end, emptied; what stays is a display of its own.

    nbval compares the first content of a display with the stored last one. Both are empty here, so a notebook with
    progress in it still compares.
    """

    def __init__(self) -> None:
        from IPython import display

        sys.stdout.flush()
        self._handle: Any = display.display(  # type: ignore[no-untyped-call,unused-ignore]
            EMPTY, raw=True, display_id=True
        )
        self._view: View | None = None
        self._shown = False
        self._pacer = Pacer(self._draw, PAUSE)

    def update(self, view: View) -> None:
        self._view = view
        self._pacer.touch()

    def _draw(self) -> None:
        if self._handle is not None and self._view is not None:
            self._shown = True
            self._handle.update(self._view._repr_mimebundle_(), raw=True)

    def close(self, view: View | None) -> None:
        self._pacer.stop()
        if self._handle is not None and self._shown:
            self._handle.update(EMPTY, raw=True)
        if view is not None:
            show(view)


def show(view: View) -> None:
    """Put a view under the cell: as HTML where that adds something, else as lines of text."""
    from IPython import display

    bundle = view._repr_mimebundle_()
    if not bundle["text/plain"]:
        return
    if view.rich:
        display.display(bundle, raw=True)  # type: ignore[no-untyped-call,unused-ignore]
    else:
        sys.stdout.write(f"{bundle['text/plain']}\n")
