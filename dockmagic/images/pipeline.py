"""Reading ahead in a second thread: decompression and hashing release the GIL, so they cost the extractor nothing."""

from __future__ import annotations

import hashlib
import queue
import threading
from types import TracebackType
from typing import BinaryIO

_CHUNK = 1 << 18
_AHEAD = 8


class HashedReader:
    """A stream with ``read``, filled by a thread that also computes the sha256 of everything read from ``source``.

    Use it in a ``with`` block; :meth:`digest` reads what is left and gives the whole stream's digest. A failure
    of the source is raised by the next :meth:`read`. Closing ends the thread; ``source`` stays open.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self._chunks: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._chunk = b""
        self._at = 0
        self._ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="read-ahead", daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        try:
            while not self._stop.is_set():
                chunk = self._source.read(_CHUNK)
                self._hash.update(chunk)
                self._chunks.put(chunk)
                if not chunk:
                    return
        except BaseException as error:  # whatever it is, it is the reader's to know
            self._chunks.put(error)

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, fewer only at the end; ``b""`` after it."""
        at = self._at
        end = at + size
        if size >= 0 and end <= len(self._chunk):
            self._at = end
            return self._chunk[at:end]
        parts = [self._chunk[at:]]
        have = len(parts[0])
        while (size < 0 or have < size) and self._next():
            parts.append(self._chunk)
            have += len(self._chunk)
        whole = b"".join(parts)
        if size < 0 or have <= size:
            self._chunk, self._at = b"", 0
            return whole
        surplus = have - size
        self._at = len(self._chunk) - surplus
        return whole[:size]

    def _next(self) -> bool:
        if self._ended:
            return False
        chunk = self._chunks.get()
        if isinstance(chunk, BaseException):
            self._ended = True
            raise chunk
        self._chunk, self._at = chunk, 0
        self._ended = not chunk
        return not self._ended

    def digest(self) -> str:
        """``sha256:…`` of the whole source, after reading what is left of it."""
        while self._next():
            pass
        self._chunk, self._at = b"", 0
        self._thread.join()
        return "sha256:" + self._hash.hexdigest()

    def __enter__(self) -> HashedReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._chunks.get(timeout=0.01)  # a full queue holds the thread
            except queue.Empty:
                continue
        self._thread.join()
