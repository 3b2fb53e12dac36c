"""Reading a container's json-file log: from its end or a moment on, and on while it grows."""

from __future__ import annotations

import json
import os
import select
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from dockmagic.engine import clock
from dockmagic.engine.services.containers.record import Container
from dockmagic.errors import InvalidParameter, NotImplementedByEngine

_BATCH = 64 * 1024


@dataclass(frozen=True)
class LogRequest:
    """What to read. Moments are nanoseconds since the epoch, 0 for none; ``tail`` counts entries, negative for all."""

    stdout: bool
    stderr: bool
    follow: bool = False
    since: int = 0
    until: int = 0
    tail: int = -1
    timestamps: bool = False
    details: bool = False
    """Put the log options' attributes before each line: there are none to tell, as with dockerd's defaults."""


def check(container: Container, request: LogRequest) -> None:
    """Raises InvalidParameter and NotImplementedByEngine when there is nothing to read for such a request."""
    if not (request.stdout or request.stderr):
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    if container.record.host_config["LogConfig"]["Type"] == "none":
        raise NotImplementedByEngine("configured logging driver does not support reading")


class Reading:
    """One reading of a log, begun when it is made: what is removed afterwards is still read to its end."""

    def __init__(self, container: Container, request: LogRequest) -> None:
        self._request = request
        self._watch = _watch(container) if request.follow else None
        self._log = _LogFile(container.log_path, request.tail)
        self._framed = not container.tty

    def chunks(self, client: int = -1) -> Iterator[bytes]:
        """The log as docker's frames (plain bytes with a terminal), many entries an item.

        With ``follow`` it goes on until the container ends or ``client`` (its socket's number) hangs up.
        """
        render = _Renderer(self._request, framed=self._framed)
        with self._log as log:
            yield from render(log.entries())
            if self._watch is None:
                return
            with self._watch as watch:
                poll = select.poll()
                poll.register(watch, select.POLLIN)
                if client >= 0:
                    poll.register(client, 0)  # hang-up is always told
                while not render.past:
                    if dict(poll.poll()).get(client):
                        return
                    ended = not watch.read(4096)
                    yield from render(log.entries())
                    if ended:
                        return


def _watch(container: Container) -> IO[bytes] | None:
    """What tells of growth by a byte and of the log's completion by its end; None when it is complete."""
    with container.lock:
        process: Any = container.process
        return None if process is None else open(process.watch_log(), "rb", buffering=0)


class _Renderer:
    """Entries to bytes, as asked for. ``past``: an entry after ``until`` has come."""

    def __init__(self, request: LogRequest, *, framed: bool) -> None:
        self._request = request
        self._framed = framed
        self._streams = {
            name: n for name, n, on in (("stdout", 1, request.stdout), ("stderr", 2, request.stderr)) if on
        }
        self.past = False

    def __call__(self, entries: Iterator[bytes]) -> Iterator[bytes]:
        request = self._request
        batch: list[bytes] = []
        size = 0
        for line in entries:
            try:
                entry = json.loads(line)
                stream, text, time = entry["stream"], entry["log"], entry["time"]
            except (ValueError, KeyError):  # a line that a crash cut off
                continue
            number = self._streams.get(stream)
            if number is None:
                continue
            if request.since and clock.parse(time) < request.since:
                continue
            if request.until and clock.parse(time) > request.until:
                self.past = True
                break
            data = text.encode("utf-8", "surrogatepass")
            if request.details:
                data = b" " + data
            if request.timestamps:
                data = _padded(time).encode() + b" " + data
            if self._framed:
                batch.append(struct.pack(">BxxxI", number, len(data)))
            batch.append(data)
            size += len(data)
            if size > _BATCH:
                yield b"".join(batch)
                batch.clear()
                size = 0
        if batch:
            yield b"".join(batch)


class _LogFile:
    """The log's files, oldest first; entries() goes on where the last one stopped, rotations included."""

    def __init__(self, path: Path, tail: int) -> None:
        self._path = path
        self._tail = tail
        self._file: BinaryIO | None = None
        self._part = b""
        self._begun = False
        self._open()

    def __enter__(self) -> _LogFile:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def entries(self) -> Iterator[bytes]:
        """Whole lines not given yet."""
        if not self._begun:
            self._begun = True
            yield from self._first()
            return
        yield from self._new()

    def _first(self) -> Iterator[bytes]:
        older = self._older()
        if self._tail < 0:
            for path in older:
                try:
                    with open(path, "rb") as file:
                        yield from file
                except FileNotFoundError:
                    continue  # rotated away meanwhile
            yield from self._new()
            return
        kept: deque[bytes] = deque(maxlen=self._tail)
        if self._file is not None and self._tail:
            kept.extend(_last_lines(self._file, self._tail))
            for path in reversed(older):
                if len(kept) >= self._tail:
                    break
                with open(path, "rb") as file:
                    kept.extendleft(reversed(_last_lines(file, self._tail - len(kept))))
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)
        yield from kept

    def _new(self) -> Iterator[bytes]:
        while True:
            if self._file is None:
                self._open()
            if self._file is None:
                return
            for line in self._file:
                if line.endswith(b"\n"):
                    yield self._part + line
                    self._part = b""
                else:
                    self._part += line
            if not self._rotated():
                return
            self._file.close()
            self._file = None
            self._part = b""

    def _rotated(self) -> bool:
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        if self._file.tell() > here.st_size:  # cut off: a rotation with one file
            return True
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (now.st_ino, now.st_dev) != (here.st_ino, here.st_dev)

    def _open(self) -> None:
        try:
            self._file = open(self._path, "rb")  # noqa: SIM115 - closed by __exit__
        except FileNotFoundError:
            self._file = None

    def _older(self) -> list[str]:
        found = []
        number = 1
        while os.path.exists(f"{self._path}.{number}"):
            found.append(f"{self._path}.{number}")
            number += 1
        return found[::-1]


def _last_lines(file: BinaryIO, count: int) -> list[bytes]:
    """The last ``count`` whole lines of ``file``."""
    end = file.seek(0, os.SEEK_END)
    data = b""
    while end > 0 and data.count(b"\n") <= count:
        start = max(0, end - _BATCH)
        file.seek(start)
        data = file.read(end - start) + data
        end = start
    lines = data.splitlines(keepends=True)
    if end > 0:
        lines = lines[1:]
    return [line for line in lines if line.endswith(b"\n")][-count:]


def _padded(time: str) -> str:
    """A time with all nine digits of its fraction, as docker prints it."""
    whole, _, fraction = time.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<9}Z"
