"""Where a command writes and reads: a terminal, a notebook's cell, or a buffer in a test."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from dockmagic.views.view import View

Resize = Callable[[int, int], None]


class Live(Protocol):
    """One place that is written anew while something goes on."""

    def update(self, view: View) -> None: ...

    def close(self, view: View | None) -> None:
        """Leave ``view`` there for good (None: nothing)."""
        ...


class Console(Protocol):
    """The face's side of a command."""

    stdin: BinaryIO | None
    """What ``-i`` reads; None when there is nothing to read."""

    @property
    def terminal(self) -> bool:
        """Whether a person sits at a terminal that can be given to a container."""
        ...

    @property
    def watched(self) -> bool:
        """Whether a person watches who can type, and stop what has no end: at a terminal, or at a cell."""
        ...

    @property
    def lines_only(self) -> bool:
        """Whether what is written can't be written anew: a pipe, a log."""
        ...

    @property
    def confirms(self) -> bool:
        """Whether a question can be asked."""
        ...

    def out(self, data: bytes) -> None:
        """Standard output, at once."""
        ...

    def err(self, data: bytes) -> None:
        """Standard error, at once."""
        ...

    def note(self, line: str) -> None:
        """A line of docker's own about what it does: "Unable to find image …"."""
        ...

    def ask(self, question: str, secret: bool = False) -> str:
        """An answer of the user's; secret answers are not shown."""
        ...

    def live(self, *, notes: bool = False) -> Live:
        """A live place; ``notes`` puts what stays of it where :meth:`note` writes."""
        ...

    def raw_terminal(self, resize: Resize | None) -> AbstractContextManager[None]:
        """The terminal's keys as bytes, its size told to ``resize``. Only when ``watched``.

        A cell draws a terminal meanwhile, and is one (``terminal``) until the end; if it can't, it stays none.
        """
        ...

    def signals(self, send: Callable[[str], None]) -> AbstractContextManager[None]:
        """While it lasts a terminal's signals go to ``send`` by name; in a notebook an interrupt stays an interrupt."""
        ...


class Buffer:
    """A console that keeps what is written: for tests, and for commands inside commands."""

    terminal = False
    watched = False
    confirms = False
    lines_only = False

    def __init__(self, stdin: bytes | None = None) -> None:
        self.stdin: BinaryIO | None = None if stdin is None else io.BytesIO(stdin)
        self.stdout = b""
        self.stderr = b""
        self.notes: list[str] = []
        self.shown: list[View] = []

    def out(self, data: bytes) -> None:
        self.stdout += data

    def err(self, data: bytes) -> None:
        self.stderr += data

    def note(self, line: str) -> None:
        self.notes.append(line)

    def ask(self, question: str, secret: bool = False) -> str:
        return ""

    def live(self, *, notes: bool = False) -> Live:
        return _Kept(self.shown)

    def raw_terminal(self, resize: Resize | None) -> AbstractContextManager[None]:
        return nullcontext()

    def signals(self, send: Callable[[str], None]) -> AbstractContextManager[None]:
        return nullcontext()


class _Kept:
    def __init__(self, shown: list[View]) -> None:
        self._shown = shown

    def update(self, view: View) -> None:
        pass

    def close(self, view: View | None) -> None:
        if view is not None:
            self._shown.append(view)
