"""The console of the ``dockmagic`` program: a terminal's streams, its keys, its signals."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from dockmagic.commands.console import Live, Resize
from dockmagic.commands.pacing import Pacer

if TYPE_CHECKING:
    from dockmagic.views.view import View

PAUSE = 0.1
"""Seconds between two drawings of a live place."""


class Terminal:
    """Standard input, output and error of this process."""

    def __init__(self) -> None:
        self.stdin: BinaryIO | None = sys.stdin.buffer if sys.stdin is not None else None

    @property
    def terminal(self) -> bool:
        return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()

    @property
    def watched(self) -> bool:
        return self.terminal

    @property
    def lines_only(self) -> bool:
        return not sys.stderr.isatty()

    @property
    def confirms(self) -> bool:
        return sys.stdin is not None and sys.stdin.isatty()

    def out(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def err(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()

    def note(self, line: str) -> None:
        self.err(f"{line}\n".encode("utf-8", "replace"))

    def ask(self, question: str, secret: bool = False) -> str:
        return getpass.getpass(question) if secret else input(question)

    def live(self, *, notes: bool = False) -> Live:
        write = self.err if notes else self.out
        stream = sys.stderr if notes else sys.stdout
        return Redrawn(write) if stream.isatty() else Once(write)

    @contextlib.contextmanager
    def raw_terminal(self, resize: Resize | None) -> Iterator[None]:
        """Every key goes to the container, control keys too; a change of the window's size is told to it."""
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)

        def tell(*_: object) -> None:
            if resize is not None:
                columns, rows = os.get_terminal_size(descriptor)
                resize(rows, columns)

        previous = signal.signal(signal.SIGWINCH, tell)
        try:
            tty.setraw(descriptor)
            tell()
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            signal.signal(signal.SIGWINCH, previous)

    @contextlib.contextmanager
    def signals(self, send: Callable[[str], None]) -> Iterator[None]:
        """Pass on what this process is told; after the third interrupt give up, as docker does."""
        count = 0

        def pass_on(number: int, frame: object) -> None:
            nonlocal count
            count += number == signal.SIGINT
            if count >= 3:
                raise KeyboardInterrupt
            send(signal.Signals(number).name)

        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
        numbers = [getattr(signal, n) for n in names if hasattr(signal, n)]
        before = {n: signal.signal(n, pass_on) for n in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Once:
    """A live place where nothing can be written anew: only what stays is written."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def update(self, view: View) -> None:
        pass

    def close(self, view: View | None) -> None:
        text = view.text() if view is not None else ""
        if text:
            self._write(f"{text}\n".encode("utf-8", "replace"))


class Redrawn:
    """A live place in a terminal: the lines written last are gone over."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._lines = 0
        self._view: View | None = None
        self._pacer = Pacer(self._redraw, PAUSE)

    def update(self, view: View) -> None:
        self._view = view
        self._pacer.touch()

    def close(self, view: View | None) -> None:
        self._pacer.stop()
        self._put(view.text().split("\n") if view is not None and view.text() else [])

    def _redraw(self) -> None:
        if self._view is None:
            return
        columns, rows = shutil.get_terminal_size()
        lines = [line[: columns - 1] for line in self._view.text().split("\n")[-(rows - 2) :]]
        self._put(lines)
        self._lines = len(lines)

    def _put(self, lines: list[str]) -> None:
        up = f"\x1b[{self._lines}A\r" if self._lines else ""
        self._write((up + "\x1b[J" + "".join(f"{line}\n" for line in lines)).encode("utf-8", "replace"))
