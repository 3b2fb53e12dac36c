"""Reading docker's json-file logs: what is there, and what comes.

:func:`read` gives what a log holds now, oldest first, rotated files included. :func:`follow` goes on from there: it
sleeps until the shim says that the log grew (no polling) and ends when the log is complete.
"""

from __future__ import annotations

import calendar
import json
import os
import select
import time
from collections import deque
from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol

_BLOCK = 64 * 1024


class LogEntry(NamedTuple):
    """A line (or a piece of one longer than 16 KiB): its bytes with the newline, where it came from, and when."""

    stream: int
    """1 stdout, 2 stderr"""
    data: bytes
    time: str
    """RFC 3339 with nanoseconds, as the log has it"""

    @property
    def nanoseconds(self) -> int:
        """The time since the epoch."""
        return nanoseconds_of(self.time)


class Watched(Protocol):
    """What :func:`follow` wants of a process: ShimProcess has it."""

    def watch_log(self) -> int: ...


def nanoseconds_of(text: str) -> int:
    """Nanoseconds since the epoch of a UTC time like ``2024-01-02T03:04:05.67Z``; ValueError otherwise."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def read(
    path: str, *, tail: int | None = None, since: int = 0, until: int = 0, stdout: bool = True, stderr: bool = True
) -> Iterator[LogEntry]:
    """The entries of the log at ``path``: the last ``tail`` (None: all), between ``since`` and ``until``.

    Both are nanoseconds since the epoch, 0 for none. Of a log that is missing there are no entries. ``tail`` counts
    before streams and times are told apart, as dockerd's does.
    """
    entries, file = _open_at(path, tail)
    if file is not None:
        file.close()
    yield from _wanted(entries, since, until, stdout, stderr)


def follow(
    process: Watched | None,
    path: str,
    *,
    tail: int | None = None,
    since: int = 0,
    until: int = 0,
    stdout: bool = True,
    stderr: bool = True,
    stop: int = -1,
) -> Iterator[LogEntry]:
    """As :func:`read`, then what ``process`` goes on writing, until its log ends or ``until`` is past.

    ``stop`` is a descriptor (a client's socket, a pipe): when it becomes readable or hangs up, the iteration ends.
    """
    watch = process.watch_log() if process is not None else -1
    file: IO[bytes] | None = None
    try:
        old, file = _open_at(path, tail)
        yield from _wanted(old, since, until, stdout, stderr)
        growing = _Growing(path, file)
        file = None
        try:
            alive: bool | None = watch >= 0
            while alive:
                alive = _sleep(watch, stop, until)
                if alive is None:
                    return
                yield from _wanted(growing.entries(), since, until, stdout, stderr)
                if until and time.time_ns() > until:
                    return
        finally:
            growing.close()
    finally:
        if file is not None:
            file.close()
        if watch >= 0:
            os.close(watch)


def _sleep(watch: int, stop: int, until: int) -> bool | None:
    """Wait for growth: True; the log's end: False; ``stop`` or the time ``until``: None and True."""
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    if stop >= 0:
        poll.register(stop, select.POLLIN)
    timeout = max(0, until - time.time_ns()) / 1e6 + 1 if until else None
    ready = dict(poll.poll(timeout))
    if stop in ready:
        return None
    return bool(os.read(watch, _BLOCK)) if watch in ready else True


def _wanted(entries: Iterator[LogEntry], since: int, until: int, stdout: bool, stderr: bool) -> Iterator[LogEntry]:
    for entry in entries:
        if not (stdout if entry.stream == 1 else stderr):
            continue
        if since or until:
            moment = entry.nanoseconds
            if moment < since:
                continue
            if until and moment > until:
                return
        yield entry


def _parse(line: bytes) -> LogEntry | None:
    try:
        record = json.loads(line)
        return LogEntry(1 if record["stream"] == "stdout" else 2, record["log"].encode(), record["time"])
    except (ValueError, KeyError):
        return None  # a line cut by a full disk or a crash


def _files(path: str) -> list[str]:
    """The log's files that exist, oldest first."""
    rotated = []
    number = 1
    while os.path.exists(f"{path}.{number}"):
        rotated.append(f"{path}.{number}")
        number += 1
    return [*reversed(rotated), path]


def _open_at(path: str, tail: int | None) -> tuple[Iterator[LogEntry], IO[bytes] | None]:
    """The wanted entries up to now, and the newest file open at its present end (None when there is no log)."""
    try:
        newest = open(path, "rb", buffering=0)  # noqa: SIM115  (closed by who follows)
    except FileNotFoundError:
        return iter(()), None
    end = newest.seek(0, os.SEEK_END)
    last = end - _unfinished(newest, end)
    newest.seek(last)
    if tail is not None:
        return iter(_tail(path, last, max(0, tail))), newest
    return _all(path, last), newest


def _unfinished(file: IO[bytes], end: int) -> int:
    """How many bytes at the end belong to a line that is still being written."""
    at = end
    while at > 0:
        start = max(0, at - _BLOCK)
        file.seek(start)
        block = file.read(at - start)
        newline = block.rfind(b"\n")
        if newline >= 0:
            return end - (start + newline + 1)
        at = start
    return end


def _all(path: str, end: int) -> Iterator[LogEntry]:
    for name in _files(path):
        try:
            with open(name, "rb") as file:
                left = end if name == path else os.fstat(file.fileno()).st_size
                for line in file:
                    left -= len(line)
                    if left < 0:
                        break
                    entry = _parse(line)
                    if entry is not None:
                        yield entry
        except FileNotFoundError:
            continue  # rotated away meanwhile


def _tail(path: str, end: int, count: int) -> list[LogEntry]:
    found: deque[LogEntry] = deque()
    for name in reversed(_files(path)):
        if len(found) >= count:
            break
        try:
            with open(name, "rb") as file:
                limit = end if name == path else os.fstat(file.fileno()).st_size
                for line in _backwards(file, limit):
                    entry = _parse(line)
                    if entry is not None:
                        if len(found) >= count:
                            break
                        found.appendleft(entry)
        except FileNotFoundError:
            continue
    return list(found)


def _backwards(file: IO[bytes], end: int) -> Iterator[bytes]:
    """The lines before ``end``, last first."""
    rest = b""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        lines = (file.read(end - start) + rest).split(b"\n")
        rest = lines[0]
        for line in reversed(lines[1:]):
            if line:
                yield line
        end = start
    if rest:
        yield rest


class _Growing:
    """New lines of a log that may be rotated while it is read."""

    def __init__(self, path: str, file: IO[bytes] | None) -> None:
        self._path = path
        self._file = file
        self._rest = b""

    def entries(self) -> Iterator[LogEntry]:
        """Whole lines that came since the last call."""
        while True:
            if self._file is None:
                try:
                    self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115  (held across calls)
                except FileNotFoundError:
                    return
            replaced = self._replaced()  # before reading: what was written until then is read below
            while block := self._file.read(_BLOCK):
                *lines, self._rest = (self._rest + block).split(b"\n")
                for line in lines:
                    entry = _parse(line)
                    if entry is not None:
                        yield entry
            if not replaced:
                return
            self.close()

    def _replaced(self) -> bool:
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        if here.st_size < self._file.tell():  # truncated: a rotation that keeps one file
            self._file.seek(0)
            self._rest = b""
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) != (here.st_dev, here.st_ino)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._rest = b""
