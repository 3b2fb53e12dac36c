"""``--progress plain``: a build's steps and output as lines, in BuildKit's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.views.build import BuildProgress, Step
from dockmagic.views.view import clean

if TYPE_CHECKING:
    from dockmagic.commands.console import Console


class PlainPrinter:
    """Prints what is new in ``progress`` at every :meth:`update`."""

    def __init__(self, console: Console, progress: BuildProgress) -> None:
        self._console = console
        self._progress = progress
        self._named: set[int] = set()
        self._logged: dict[int, int] = {}
        self._ended: set[int] = set()

    def update(self) -> None:
        for step in self._progress.steps.values():
            if step.vertex.started is None and not step.vertex.cached and not step.vertex.error:
                continue
            self._name(step)
            self._log(step)
            self._end(step)

    def _line(self, step: Step, text: str) -> None:
        self._console.err(f"#{step.number} {clean(text, lines=False)}\n".encode())

    def _name(self, step: Step) -> None:
        if step.number not in self._named:
            self._named.add(step.number)
            self._line(step, " ".join(step.name.split()))

    def _log(self, step: Step) -> None:
        at = self._logged.get(step.number, 0)
        whole = step.log.rfind(b"\n") + 1
        if step.vertex.completed is not None:
            whole = len(step.log)
        if whole > at:
            self._logged[step.number] = whole
            text = bytes(step.log[at:whole]).decode("utf-8", "replace")
            for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
                self._line(step, line)

    def _end(self, step: Step) -> None:
        if step.number in self._ended or (step.vertex.completed is None and step.state not in {"cached", "failed"}):
            return
        self._ended.add(step.number)
        if step.failed:
            self._line(step, f"ERROR: {step.vertex.error}")
        elif step.state == "cached":
            self._line(step, "CACHED")
        else:
            self._line(step, f"DONE {step.seconds:.1f}s")
        self._console.err(b"\n")
