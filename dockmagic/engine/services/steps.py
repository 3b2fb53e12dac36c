"""BuildKit's vertexes retold as the classic builder's lines: ``Step 1/3 : FROM alpine``, `` ---> 0123456789ab``.

The classic builder numbers every instruction; BuildKit has vertexes only for those that touch files. So the
Dockerfile's own list leads, and each vertex is put to its instruction by stage and number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dockmagic.builder.request import BuildError
from dockmagic.trace import StatusResponse, Vertex

_VERTEX = re.compile(r"\[ *(?:(?P<stage>\S+) +)?(?P<number>\d+)/\d+\] (?P<text>.*)", re.DOTALL)
_COMMAND = re.compile(r'process "(?P<command>.*)" did not complete successfully: exit code: (?P<code>\d+)', re.DOTALL)
_FILES = {"FROM", "RUN", "COPY", "ADD", "WORKDIR"}
"""The instructions that BuildKit makes vertexes of."""
_RUNNING = {"RUN", "CMD", "ENTRYPOINT", "ENV", "LABEL", "EXPOSE", "USER", "VOLUME", "STOPSIGNAL", "HEALTHCHECK"}
_RUNNING |= {"SHELL", "ONBUILD", "WORKDIR", "ARG", "MAINTAINER"}
"""Those that the classic builder makes a container for."""
_STDERR = 2


@dataclass
class _Step:
    """One instruction. ``vertex`` is its (stage, number), None when BuildKit has no vertex for it."""

    text: str
    keyword: str
    stage: str
    """Empty before the first FROM."""
    vertex: tuple[str, int] | None
    output: list[str] = field(default_factory=list)
    digest: str = ""
    base: str = ""
    started: bool = False
    cached: bool = False
    completed: bool = False
    announced: bool = False


class ClassicSteps:
    """A builder's Progress that writes the classic stream.

    Steps are told in the Dockerfile's order; what a later one does meanwhile waits until the ones before are complete.
    ``image_of`` gives the id of a base image by its name, "" when there is none of that name.
    """

    def __init__(self, messages: Callable[[Mapping[str, Any]], None], image_of: Callable[[str], str]) -> None:
        self._messages = messages
        self._image_of = image_of
        self._steps: list[_Step] = []
        self._by_vertex: dict[tuple[str, int], _Step] = {}
        self._by_digest: dict[str, _Step] = {}
        self._told = 0
        self.begun = False
        """Something has been told."""

    def dockerfile(self, text: str) -> None:
        """The Dockerfile, as soon as it is read."""
        self._steps = list(_instructions(text))
        self._by_vertex = {step.vertex: step for step in self._steps if step.vertex is not None}

    def __call__(self, status: StatusResponse) -> None:
        for vertex in status.vertexes:
            self._vertex(vertex)
        for entry in status.logs:
            step = self._by_digest.get(entry.vertex)
            if step is not None:
                text = entry.msg.decode("utf-8", "replace")
                step.output.append(_red(text) if entry.stream == _STDERR else text)
        self._tell()

    def finish(self, image_id: str) -> None:
        """The build is done: tell the rest."""
        for step in self._steps[self._told :]:
            if step.vertex is not None:
                step.started = step.completed = True
        self._tell(image_id)

    def failed(self, error: BuildError) -> tuple[str, int]:
        """Tell what was written until then; the classic words for the failure, and the exit code of a RUN (else 0)."""
        for step in self._steps[self._told :]:
            if step.started:
                self._announce(step)
        match = _COMMAND.search(str(error))
        if not match:
            return str(error), 0
        code = int(match["code"])
        return f"The command '{match['command']}' returned a non-zero code: {code}", code

    def _vertex(self, vertex: Vertex) -> None:
        step = self._by_digest.get(vertex.digest)
        if step is None:
            match = _VERTEX.fullmatch(vertex.name)
            step = self._by_vertex.get((match["stage"] or "stage-0", int(match["number"]))) if match else None
            if step is None or match is None:
                return  # internal, or a trigger's of the base image
            self._by_digest[vertex.digest] = step
            step.digest = vertex.digest
            if step.keyword == "FROM":
                step.base = match["text"].partition(" ")[2].split("@")[0]
        step.started = step.started or vertex.started is not None or vertex.cached
        step.cached = step.cached or vertex.cached
        step.completed = step.completed or (vertex.completed is not None and not vertex.error)

    def _tell(self, final: str = "") -> None:
        for step in self._steps[self._told :]:
            if step.vertex is None and not step.completed:
                self._follow(step)
            if not step.started and not step.completed:
                return
            self._announce(step)
            last = self._told == len(self._steps) - 1
            if not step.completed or (last and not final):
                return
            if step.keyword in _RUNNING and not step.cached:
                self._say(f"Removing intermediate container {_made_up(step, 'container')}\n")
            if step.stage:
                self._say(f" ---> {_short(final) if last else self._id(step)}\n")
            self._told += 1

    def _follow(self, step: _Step) -> None:
        """An instruction without a vertex is as cached as the next one that has one, or else the one before."""
        at = self._steps.index(step)
        after = next((s for s in self._steps[at:] if s.stage == step.stage and s.vertex), None)
        if after is not None:
            step.completed, step.cached = after.started, after.cached
            return
        before = next((s for s in reversed(self._steps[:at]) if s.stage == step.stage and s.vertex), None)
        step.completed = True
        step.cached = bool(before and before.cached and before.keyword != "FROM")

    def _announce(self, step: _Step) -> None:
        if not step.announced:
            step.announced = True
            self._say(f"Step {self._steps.index(step) + 1}/{len(self._steps)} : {step.text}\n")
            if step.cached and step.keyword != "FROM":
                self._say(" ---> Using cache\n")
            elif step.keyword in _RUNNING:
                self._say(f" ---> Running in {_made_up(step, 'container')}\n")
        for text in step.output:
            self._say(text)
        step.output.clear()

    def _id(self, step: _Step) -> str:
        found = self._image_of(step.base) if step.base else ""
        return _short(found) if found else _made_up(step, "image")

    def _say(self, text: str) -> None:
        self.begun = True
        self._messages({"stream": text})


def _instructions(text: str) -> Iterator[_Step]:
    from dockmagic import dockerfile as language

    try:
        stages, arguments = language.instructions(language.parse(text))
    except language.DockerfileError:
        return  # the builder is about to say so
    for one in arguments:
        yield _Step(one.code, "ARG", "", None)
    for stage in stages:
        name = stage.name or f"stage-{stage.index}"
        yield _Step(stage.origin.code, "FROM", name, (name, 1))
        number = 1
        for command in stage.commands:
            keyword = command.keyword.upper()
            if keyword in _FILES:
                number += 1
            yield _Step(command.code, keyword, name, (name, number) if keyword in _FILES else None)


def _made_up(step: _Step, what: str) -> str:
    """A stable stand-in for an id that BuildKit's way of building has not."""
    return hashlib.sha256(f"{what} {step.digest} {step.text}".encode()).hexdigest()[:12]


def _red(text: str) -> str:
    """What a step wrote to its standard error, as the classic builder shows it (moby, NewStderrWriter)."""
    return f"\x1b[91m{text}\x1b[0m"


def _short(id: str) -> str:
    return id.removeprefix("sha256:")[:12]
