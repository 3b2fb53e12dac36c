"""BuildKit's vertexes retold as the classic builder's lines: ``Step 1/3 : FROM alpine``, `` ---> 0123456789ab``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dockmagic.builder.request import BuildError
from dockmagic.trace import StatusResponse, Vertex

_STEP = re.compile(r"\[(?:(?P<stage>\S+) +)?(?P<number>\d+)/(?P<total>\d+)\] (?P<instruction>.*)", re.DOTALL)
_COMMAND = re.compile(r'process "(?P<command>.*)" did not complete successfully: exit code: (?P<code>\d+)', re.DOTALL)


class ClassicSteps:
    """A builder's Progress that writes the classic stream.

    A step is told when it starts or turns out to be cached; its output follows. Steps that run side by side are told
    one after the other: what a later one writes waits until the ones before it are complete.
    """

    def __init__(self, messages: Callable[[Mapping[str, Any]], None]) -> None:
        self._messages = messages
        self._order: list[str] = []
        self._steps: dict[str, _Step] = {}
        self._told: int = 0

    def __call__(self, status: StatusResponse) -> None:
        for vertex in status.vertexes:
            self._vertex(vertex)
        for entry in status.logs:
            step = self._steps.get(entry.vertex)
            if step is not None:
                step.output.append(entry.msg.decode("utf-8", "replace"))
        for warning in status.warnings:
            self._messages({"stream": f" ---> [Warning] {warning.short}\n"})
        self._tell()

    def flush(self) -> None:
        """The build is over: tell what waits."""
        for step in self._steps.values():
            step.completed = True
        self._tell()

    def failure(self, error: BuildError) -> tuple[str, int]:
        """The classic builder's words for a failure, and the exit code of a RUN (0: it was none)."""
        match = _COMMAND.search(str(error))
        if not match:
            return str(error), 0
        code = int(match["code"])
        return f"The command '{match['command']}' returned a non-zero code: {code}", code

    def _vertex(self, vertex: Vertex) -> None:
        step = self._steps.get(vertex.digest)
        if step is None:
            match = _STEP.fullmatch(vertex.name)
            if match is None:
                return  # internal: loading the context, exporting
            step = self._steps[vertex.digest] = _Step(match["instruction"])
            self._order.append(vertex.digest)
        step.started = step.started or vertex.started is not None or vertex.cached
        step.cached = step.cached or vertex.cached
        step.completed = step.completed or vertex.completed is not None

    def _tell(self) -> None:
        for digest in self._order[self._told :]:
            step = self._steps[digest]
            if not step.started and not step.completed:
                return
            if not step.announced:
                step.announced = True
                number = self._order.index(digest) + 1
                self._messages({"stream": f"Step {number}/{max(number, len(self._order))} : {step.instruction}\n"})
                if step.cached:
                    self._messages({"stream": " ---> Using cache\n"})
            for text in step.output:
                self._messages({"stream": text})
            step.output.clear()
            if not step.completed:
                return
            self._messages({"stream": f" ---> {digest.removeprefix('sha256:')[:12]}\n"})
            self._told += 1


class _Step:
    """One instruction's state."""

    def __init__(self, instruction: str) -> None:
        self.instruction = instruction
        self.output: list[str] = []
        self.started = self.cached = self.completed = self.announced = False
