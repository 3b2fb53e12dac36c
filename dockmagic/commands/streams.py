"""A container's streams and the console: output as it comes, input until its end, a terminal's raw mode."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from dockmagic.commands.hijack import STDERR, Hijacked
from dockmagic.detachkeys import DetachKeys

if TYPE_CHECKING:
    from dockmagic.commands.console import Console


class Detached(Exception):
    """The user typed the keys that leave the container running."""


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
    keys: str = "",
) -> None:
    """Show what comes from ``connection`` until its end, and send the console's input when ``stdin`` is asked for.

    ``resize`` is told a terminal's rows and columns. Raises Detached when ``keys`` are typed at a terminal, and
    InvalidParameter when they are none.
    """
    with contextlib.ExitStack() as stack:
        if stdin and tty and console.watched:
            stack.enter_context(console.raw_terminal(resize))
        if stdin and tty and not console.terminal and console.confirms:
            _line_by_line(console, connection, output)
            return
        detached = threading.Event()
        if stdin:
            detach = DetachKeys(keys) if tty and console.terminal else None
            stack.enter_context(_feeding(console, connection, detach, detached))
        consume(connection.frames(tty), output)
    if detached.is_set():
        raise Detached


def consume(frames: Iterable[tuple[int, bytes]], output: Output) -> None:
    """Show and keep every frame."""
    for stream, data in frames:
        output.take(stream, data)


@contextlib.contextmanager
def _feeding(
    console: Console, connection: Hijacked, detach: DetachKeys | None, detached: threading.Event
) -> Iterator[None]:
    """Send standard input from a thread of its own, which is done with it when the block ends.

    A thread left behind in a read would take the next thing that is typed, which is not the container's.
    """
    wake, waker = os.pipe()
    thread = threading.Thread(
        target=_feed, args=(console, connection, wake, detach, detached), daemon=True, name="docker-stdin"
    )
    thread.start()
    try:
        yield
    finally:
        os.write(waker, b"x")
        thread.join(0.5)  # a read that can't be waited for (Windows) is left behind
        if not thread.is_alive():
            os.close(wake)
        os.close(waker)


def _feed(
    console: Console, connection: Hijacked, wake: int, detach: DetachKeys | None, detached: threading.Event
) -> None:
    source = console.stdin
    try:
        if source is not None:
            for data in _chunks(source, wake):
                passed, complete = detach.pass_on(data) if detach is not None else (data, False)
                connection.send(passed)
                if complete:
                    detached.set()
                    connection.close()
                    return
    except _Woken:
        return
    except (OSError, ValueError):
        return  # the container has ended, or the console was closed
    connection.close_writing()


class _Woken(Exception):
    """The run is over; what is still to be read is not its."""


def _chunks(source: BinaryIO, wake: int) -> Iterator[bytes]:
    """What there is to read, as it comes, until its end. Raises _Woken when ``wake`` can be read."""
    descriptor = _descriptor(source)
    if descriptor is None:
        while data := source.read(65536):
            yield data
        return
    while True:
        ready, _, _ = select.select([descriptor, wake], [], [])
        if wake in ready:
            raise _Woken
        data = os.read(descriptor, 65536)
        if not data:
            return
        yield data


def _descriptor(source: BinaryIO) -> int | None:
    """A file descriptor that select() can wait for; None where there is none."""
    if sys.platform == "win32":
        return None
    try:
        return source.fileno()
    except (OSError, ValueError, AttributeError):
        return None


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
