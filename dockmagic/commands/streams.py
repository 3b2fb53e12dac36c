"""A container's streams and the console: output as it comes, input until its end, a terminal's raw mode."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dockmagic.commands.hijack import STDERR, Hijacked

if TYPE_CHECKING:
    from dockmagic.commands.console import Console

KEPT = 64 << 20
"""How many bytes of each stream a result keeps; all of it is shown."""


class Output:
    """What a container wrote, shown and kept."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parts: tuple[list[bytes], list[bytes]] = ([], [])
        self._sizes = [0, 0]

    def take(self, stream: int, data: bytes) -> None:
        index = 1 if stream == STDERR else 0
        (self._console.err if index else self._console.out)(data)
        if self._sizes[index] < KEPT:
            self._parts[index].append(data)
            self._sizes[index] += len(data)

    @property
    def stdout(self) -> bytes:
        return b"".join(self._parts[0])

    @property
    def stderr(self) -> bytes:
        return b"".join(self._parts[1])


def pump(
    console: Console,
    connection: Hijacked,
    output: Output,
    *,
    tty: bool,
    stdin: bool,
    resize: Callable[[int, int], None] | None = None,
) -> None:
    """Show what comes from ``connection`` until its end, and send the console's input when ``stdin`` is asked for.

    ``resize`` is told a terminal's rows and columns.
    """
    with contextlib.ExitStack() as stack:
        if stdin and tty and console.terminal:
            stack.enter_context(console.raw_terminal(resize))
        if stdin and tty and not console.terminal and console.confirms:
            _line_by_line(console, connection, output)
            return
        if stdin:
            threading.Thread(target=_feed, args=(console, connection), daemon=True, name="docker-stdin").start()
        consume(connection.frames(tty), output)


def consume(frames: Iterable[tuple[int, bytes]], output: Output) -> None:
    """Show and keep every frame."""
    for stream, data in frames:
        output.take(stream, data)


def _feed(console: Console, connection: Hijacked) -> None:
    source = console.stdin
    try:
        if source is not None:
            while data := source.read1(65536) if hasattr(source, "read1") else source.read(65536):
                connection.send(data)
    except (OSError, ValueError):
        return  # the container has ended, or the console was closed
    connection.close_writing()


def _line_by_line(console: Console, connection: Hijacked, output: Output) -> None:
    """A terminal without a terminal: a line is asked for while the container runs."""
    ended = threading.Event()

    def show() -> None:
        try:
            consume(connection.frames(True), output)
        finally:
            ended.set()

    threading.Thread(target=show, daemon=True, name="docker-stdout").start()
    while not ended.wait(0.3):
        try:
            line = console.ask("")
        except EOFError:
            connection.send(b"\x04")
            break
        if ended.is_set():
            break
        with contextlib.suppress(OSError):
            connection.send(line.encode() + b"\n")
    ended.wait()
