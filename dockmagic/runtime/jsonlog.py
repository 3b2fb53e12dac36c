"""Writing docker's json-file log: ``{"log":"…\\n","stream":"stdout","time":"…"}``, a line each.

As docker's copier does it: a line longer than 16 KiB is written in pieces of that size (without the newline at their
end), a last line without newline is written when its stream ends. Files rotate as ``log-opts`` max-size, max-file say.
"""

from __future__ import annotations

import os
import time
from json.encoder import encode_basestring

PIECE = 16 * 1024
"""The longest line kept whole (moby, daemon/logger/copier.go, defaultBufSize)."""

NAMES = {1: "stdout", 2: "stderr"}


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds in UTC, trailing zeros left out, as Go's RFC3339Nano."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{whole}{fraction}Z"


class LogWriter:
    """Both streams of one process into one file. ``written`` tells whether the last call added something."""

    def __init__(self, path: str, max_size: int = 0, max_files: int = 1) -> None:
        self._path = path
        self._max_size = max_size
        self._max_files = max(1, max_files)
        self._pending: dict[int, bytes] = {1: b"", 2: b""}
        self._open(0)

    def _open(self, flags: int) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o640)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: int, data: bytes) -> bool:
        """Take bytes of a stream (1 stdout, 2 stderr); whether lines were added to the file."""
        data = self._pending[stream] + data
        if b"\n" not in data and len(data) < PIECE:
            self._pending[stream] = data
            return False
        lines = data.split(b"\n")
        rest = lines.pop()
        pieces: list[bytes] = []
        for line in lines:
            while len(line) >= PIECE:
                pieces.append(line[:PIECE])
                line = line[PIECE:]
            pieces.append(line + b"\n")
        while len(rest) >= PIECE:
            pieces.append(rest[:PIECE])
            rest = rest[PIECE:]
        self._pending[stream] = rest
        self._append(stream, pieces)
        return True

    def end(self, stream: int) -> bool:
        """The stream is at its end: write a last line that has no newline; whether there was one."""
        rest, self._pending[stream] = self._pending[stream], b""
        if rest:
            self._append(stream, [rest])
        return bool(rest)

    def close(self) -> None:
        os.close(self._fd)

    def _append(self, stream: int, pieces: list[bytes]) -> None:
        tail = f',"stream":"{NAMES[stream]}","time":"{timestamp(time.time_ns())}"}}\n'
        entries = [f'{{"log":{encode_basestring(piece.decode("utf-8", "replace"))}{tail}' for piece in pieces]
        if not self._max_size:
            self._put("".join(entries).encode())
            return
        for entry in entries:  # a rotation may be due between any two
            data = entry.encode()
            if self._size and self._size + len(data) > self._max_size:
                self._rotate()
            self._put(data)

    def _put(self, data: bytes) -> None:
        self._size += len(data)
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError:
                return  # a full disk must not stop the container: what can't be logged is lost, as with dockerd

    def _rotate(self) -> None:
        os.close(self._fd)
        if self._max_files == 1:
            self._open(os.O_TRUNC)
            return
        for number in range(self._max_files - 1, 0, -1):
            older = f"{self._path}.{number}"
            newer = f"{self._path}.{number - 1}" if number > 1 else self._path
            try:
                os.replace(newer, older)
            except FileNotFoundError:
                pass
        self._open(0)
