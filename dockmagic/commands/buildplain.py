"""``--progress plain``: a build as lines, in the form of BuildKit's own printer (util/progress/progressui)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dockmagic.trace import StatusResponse, Vertex, VertexStatus
from dockmagic.views.view import clean

if TYPE_CHECKING:
    from dockmagic.commands.console import Console

_LAST = 10
"""lines of a failed step's output that are told again at the end"""
_SHARE = 0.05
_SECONDS = 5.0
"""A status that goes on is told again when it has come this far, or after this long."""


@dataclass
class _Shown:
    """What of a step was printed."""

    number: int
    vertex: Vertex
    rest: bytes = b""
    """a log line without its end"""
    at: float = 0.0
    """when it began"""
    lines: list[str] = field(default_factory=list)
    """to be printed"""
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST))
    """of what it wrote"""
    ended: bool = False


class PlainPrinter:
    """Prints each message's news: a step's name, what it says, how it ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[str, _Shown] = {}
        self._current: _Shown | None = None
        self._statuses: dict[tuple[str, str], tuple[int, float]] = {}
        self._begun = False
        self._count = 0

    def add(self, status: StatusResponse) -> None:
        """Take one message of the build's trace."""
        touched: dict[str, None] = {}
        for vertex in status.vertexes:
            known = self._steps.setdefault(vertex.digest, _Shown(0, vertex))
            started = vertex.started if vertex.started is not None else known.vertex.started
            known.vertex = vertex
            known.vertex.started = started
            if started is not None or vertex.cached or vertex.error:
                touched[vertex.digest] = None
        for item in status.statuses:
            if item.vertex in self._steps and self._news(item):
                self._steps[item.vertex].lines.append(_status_line(item))
                touched[item.vertex] = None
        for warning in status.warnings:
            if warning.vertex in self._steps:
                self._steps[warning.vertex].lines.append(f"WARN: {clean(warning.short, lines=False)}")
                touched[warning.vertex] = None
        for entry in status.logs:
            step = self._steps.get(entry.vertex)
            if step is not None:
                self._log(step, entry.msg, entry.timestamp or 0.0)
                touched[entry.vertex] = None
        for digest in touched:
            self._print(self._steps[digest])

    def _news(self, item: VertexStatus) -> bool:
        key, now = (item.vertex, item.id), item.timestamp or 0.0
        last = self._statuses.get(key)
        if last is not None and item.completed is None:
            far = item.total > 0 and (item.current - last[0]) / item.total >= _SHARE
            if not far and now - last[1] < _SECONDS:
                return False
        self._statuses[key] = (item.current, now)
        return True

    @staticmethod
    def _log(step: _Shown, data: bytes, when: float) -> None:
        *lines, rest = (step.rest + data).split(b"\n")
        if not step.rest:
            step.at = when
        for line in lines:
            PlainPrinter._said(step, line)
            step.at = when
        step.rest = rest

    @staticmethod
    def _said(step: _Shown, line: bytes) -> None:
        text = _log_line(step, line)
        step.lines.append(text)
        step.last.append(text)

    def failed(self) -> None:
        """After a build that failed: the steps' last lines again."""
        for step in self._steps.values():
            if step.vertex.error and not step.vertex.error.endswith("context canceled"):
                said = "".join(f"{line}\n" for line in step.last)
                self._write(f"------\n > {clean(step.vertex.name)}:\n{said}------\n")

    def _print(self, step: _Shown) -> None:
        completed = step.vertex.completed is not None or bool(step.vertex.error)
        if step.ended:
            if step.lines:  # what comes after the end
                self._lines(step)
            return
        if completed and step.rest:
            self._said(step, step.rest)
            step.rest = b""
        self._lines(step)
        if completed:
            step.ended = True
            self._current = None
            self._write(f"#{step.number} {_end(step.vertex)}\n")

    def _lines(self, step: _Shown) -> None:
        if step is not self._current:
            if self._current is not None and not self._current.ended:
                self._write(f"#{self._current.number} ...\n")
            if not step.number:
                self._count += 1
                step.number = self._count
            name = clean(step.vertex.name).replace("\n", " ")
            self._write(("\n" if self._begun else "") + f"#{step.number} {name}\n")
            self._begun = True
            self._current = step
        for line in step.lines:
            self._write(f"#{step.number} {line}\n")
        step.lines.clear()

    def _write(self, text: str) -> None:
        self._console.err(text.encode("utf-8", "replace"))


def _log_line(step: _Shown, line: bytes) -> str:
    text = clean(line.decode("utf-8", "replace").removesuffix("\r"))
    begun = step.vertex.started
    return f"{max(0.0, step.at - begun):.3f} {text}" if begun is not None else text


def _status_line(item: VertexStatus) -> str:
    size = f" {_bytes(item.current)} / {_bytes(item.total)}" if item.total else ""
    if not item.total and item.current:
        size = f" {_bytes(item.current)}"
    took = (item.completed or item.timestamp or item.started) - item.started if item.started is not None else 0.0
    seconds = f" {took:.1f}s" if took > 0.01 else ""
    return f"{clean(item.id, lines=False)}{size}{seconds}{' done' if item.completed is not None else ''}"


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count}B" if unit == "B" else f"{value:.2f}{unit}"


def _end(vertex: Vertex) -> str:
    if vertex.error:
        return "CANCELED" if vertex.error.endswith("context canceled") else f"ERROR: {clean(vertex.error)}"
    if vertex.cached:
        return "CACHED"
    took = (vertex.completed or 0.0) - (vertex.started or vertex.completed or 0.0)
    return f"DONE {took:.1f}s"
