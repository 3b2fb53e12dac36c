"""The progress of a build as BuildKit tells it: vertexes that start, log, complete; safe to use from any thread."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator, Sequence

from dockmagic.builder.request import Progress
from dockmagic.trace import StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning


class Reporter:
    """Sends messages to a Progress, one at a time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._count = 0

    def send(self, status: StatusResponse) -> None:
        with self._lock:
            self._progress(status)

    def vertex(self, name: str, inputs: Sequence[str] = ()) -> VertexHandle:
        """Announce a step that has not started yet."""
        with self._lock:
            self._count += 1
            seed = f"{self._count}\0{name}"
        vertex = Vertex("sha256:" + hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest(), name, list(inputs))
        handle = VertexHandle(self, vertex)
        self.send(StatusResponse(vertexes=[vertex]))
        return handle

    def warn(self, vertex: str, short: str, line: int, detail: Sequence[str] = (), url: str = "") -> None:
        """A build check's finding."""
        self.send(StatusResponse(warnings=[VertexWarning(vertex, short, list(detail), url, 1, line)]))


class VertexHandle:
    """One step's place in the progress."""

    def __init__(self, reporter: Reporter, vertex: Vertex) -> None:
        self._reporter = reporter
        self._vertex = vertex

    @property
    def digest(self) -> str:
        return self._vertex.digest

    def _change(self, **values: object) -> None:
        self._vertex = Vertex(**{**self._vertex.__dict__, **values})
        self._reporter.send(StatusResponse(vertexes=[self._vertex]))

    def cached(self) -> None:
        """The step's result was there already."""
        now = time.time()
        self._change(cached=True, started=now, completed=now)

    @contextlib.contextmanager
    def running(self) -> Iterator[VertexHandle]:
        """Started until the block ends; what it raises is the step's error."""
        self._change(started=time.time())
        try:
            yield self
        except BaseException as error:
            self._change(completed=time.time(), error=str(error) or type(error).__name__)
            raise
        self._change(completed=time.time())

    def log(self, data: bytes, stream: int = 1) -> None:
        """What the step's process wrote; ``stream`` 1 is stdout, 2 stderr."""
        self._reporter.send(StatusResponse(logs=[VertexLog(self.digest, data, stream, time.time())]))

    @contextlib.contextmanager
    def timed(self, id: str) -> Iterator[None]:
        """A part of the step, told when it begins and when it is done."""
        begun = time.time()
        self.status(id, started=begun)
        yield
        self.status(id, started=begun, completed=True)

    def moved(self, id: str, size: int, begun: float | None = None) -> None:
        """``size`` bytes have come, since ``begun``."""
        self.status(id, size, started=time.time() if begun is None else begun, completed=True)

    def status(self, id: str, current: int = 0, total: int = 0, *, started: float, completed: bool = False) -> None:
        """Progress inside the step."""
        now = time.time()
        entry = VertexStatus(id, self.digest, id, current, total, now, started, now if completed else None)
        self._reporter.send(StatusResponse(statuses=[entry]))
