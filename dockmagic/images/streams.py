"""Streams around streams: one that tells how far it has been read, one that takes back what was read of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

_BUFFER = 256 << 10


class _Watched(io.RawIOBase):
    def __init__(self, source: BinaryIO, moved: Callable[[int], None]) -> None:
        super().__init__()
        self._source = source
        self._moved = moved
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        if data:
            self._at += len(data)
            self._moved(self._at)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


def watched(source: BinaryIO, moved: Callable[[int], None]) -> BinaryIO:
    """``source``, which is closed with it; ``moved`` hears how many bytes were read so far."""
    return io.BufferedReader(_Watched(source, moved), _BUFFER)


def prefixed(head: bytes, rest: BinaryIO) -> BinaryIO:
    """``rest`` with the bytes ``head``, which were read from it to see what it is, before it again."""
    return io.BufferedReader(_Prefixed(head, rest), _BUFFER)


class _Prefixed(io.RawIOBase):
    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)
