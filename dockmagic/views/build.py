"""A build as it goes on and as it ended: a line a step, the output of the one that runs, then the layer tree."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from dockmagic.trace import StatusResponse, Vertex, VertexStatus, VertexWarning
from dockmagic.views.layers import LayerTree
from dockmagic.views.numbers import cut, seconds
from dockmagic.views.view import View, clean, render

TAIL = 8
"""How many of a running step's last lines are shown; a failed one's are twenty."""

_NUMBERED = re.compile(r"\[(?:(?P<stage>\S+) +)?(?P<at>\d+)/(?P<of>\d+)\] (?P<text>.*)", re.DOTALL)


@dataclass
class Step:
    """A vertex and what came of it so far."""

    number: int
    vertex: Vertex
    log: bytearray = field(default_factory=bytearray)
    statuses: dict[str, VertexStatus] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.vertex.name

    @property
    def instruction(self) -> str:
        """The text after ``[2/4]``; "" for steps that are no instruction ("exporting to image")."""
        match = _NUMBERED.fullmatch(self.name)
        return match["text"] if match else ""

    @property
    def counter(self) -> str:
        """``[2/4]``, ``[build 2/4]`` with its spaces made one."""
        match = _NUMBERED.fullmatch(self.name)
        if not match:
            return ""
        stage = f"{match['stage']} " if match["stage"] and not match["stage"].startswith("stage-") else ""
        return f"[{stage}{match['at']}/{match['of']}]"

    @property
    def stage(self) -> str:
        match = _NUMBERED.fullmatch(self.name)
        return (match["stage"] or "") if match else ""

    @property
    def is_base(self) -> bool:
        return self.instruction.startswith("FROM ")

    @property
    def failed(self) -> bool:
        return bool(self.vertex.error) and "context canceled" not in self.vertex.error

    @property
    def state(self) -> str:
        """waiting, running, cached, done or failed"""
        if self.failed:
            return "failed"
        if self.vertex.cached and self.instruction and not self.is_base:
            return "cached"
        if self.vertex.completed is not None:
            return "done"
        return "running" if self.vertex.started is not None else "waiting"

    @property
    def seconds(self) -> float:
        started = self.vertex.started
        if started is None:
            return 0.0
        return max(0.0, (self.vertex.completed or time.time()) - started)

    @property
    def mark(self) -> str:
        """The state in a word or a time."""
        words = {"cached": "CACHED", "failed": "ERROR", "waiting": ""}
        return words.get(self.state, seconds(self.seconds))

    def output(self) -> str:
        """All that it wrote, as text that ends with a newline; "" when nothing."""
        text = bytes(self.log).decode("utf-8", "replace")
        return text if not text or text.endswith("\n") else text + "\n"

    def tail(self, count: int) -> list[str]:
        """The last lines of its output."""
        text = bytes(self.log[-20000:]).decode("utf-8", "replace").replace("\r\n", "\n")
        lines = [line.rsplit("\r", 1)[-1] for line in text.split("\n")]
        return [clean(line) for line in lines if line.strip()][-count:]


class BuildProgress(View):
    """Made of the engine's messages by :meth:`add`."""

    told = True

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.warnings: list[VertexWarning] = []

    def add(self, status: StatusResponse) -> None:
        """Take one message of the build's trace."""
        for vertex in status.vertexes:
            step = self.steps.get(vertex.digest)
            if step is None:
                self.steps[vertex.digest] = Step(len(self.steps) + 1, vertex)
            else:
                vertex.started = vertex.started if vertex.started is not None else step.vertex.started
                step.vertex = vertex
        for entry in status.logs:
            if entry.vertex in self.steps:
                self.steps[entry.vertex].log += entry.msg
        for item in status.statuses:
            if item.vertex in self.steps:
                self.steps[item.vertex].statuses[item.id] = item
        self.warnings += status.warnings

    @property
    def instructions(self) -> list[Step]:
        """The steps that are instructions of the Dockerfile, in their order."""
        return [s for s in list(self.steps.values()) if s.instruction]

    @property
    def failed(self) -> Step | None:
        return next((s for s in list(self.steps.values()) if s.failed), None)

    def listed(self) -> list[Step]:
        """Instructions, and of the rest what runs or failed."""
        return [s for s in list(self.steps.values()) if s.instruction or s.state in {"running", "failed"}]

    def text(self) -> str:
        lines = []
        for step in self.listed():
            label = cut(clean(" ".join(_familiar(step.name).split()), lines=False), 60)
            lines.append(f"{label:<60}  {step.mark}".rstrip())
            if step.state in {"running", "failed"}:
                lines += [f"    {line}" for line in step.tail(20 if step.failed else TAIL)]
        return "\n".join(lines)

    def html(self) -> str:
        return render("build.html", steps=self.listed(), tail=TAIL, familiar=_familiar)


def _familiar(name: str) -> str:
    """A step's name with its image as people write it: ``FROM alpine``."""
    match = re.fullmatch(r"(\[.*?\] FROM )(\S+)(.*)", name, re.DOTALL)
    return f"{match[1]}{familiar_image(match[2])}{match[3]}" if match else name


def familiar_image(name: str) -> str:
    """``docker.io/library/alpine:latest@sha256:…`` as ``alpine``."""
    name = name.partition("@")[0]
    return name.removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")


class BuildResult(View):
    """A build that went well: ``.image_id``, ``.tags``, ``.tree`` (its layers), ``.warnings``.

    ``others`` are the steps of stages that the image itself is not made of.
    """

    told = True

    def __init__(
        self,
        image_id: str,
        tags: list[str],
        tree: LayerTree | None,
        progress: BuildProgress,
        others: list[Step] | None = None,
    ) -> None:
        self.image_id = image_id
        self.tags = tags
        self.tree = tree
        self.progress = progress
        self.others = others or []

    @property
    def warnings(self) -> list[VertexWarning]:
        return self.progress.warnings

    def text(self) -> str:
        lines = []
        for step in self.others:
            label = cut(clean(f"{step.counter} {_plain(step)}", lines=False), 60)
            lines.append(f"{label:<60}  {'' if step.is_base else step.mark}".rstrip())
        for warning in self.warnings:
            place = f" (line {warning.line})" if warning.line else ""
            lines.append(f"WARNING: {clean(warning.short, lines=False)}{place}")
        names = clean(", ".join(self.tags), lines=False)
        lines.append(self.tree.text() if self.tree else f"{names}  {self.image_id[7:19]}".strip())
        return "\n".join(lines)

    def html(self) -> str:
        tree = self.tree.html() if self.tree else ""
        said = [s for s in self.progress.instructions if s.log.strip()]
        return render("built.html", result=self, others=self.others, tree=tree, said=said, plain=_plain)


def _plain(step: Step) -> str:
    return " ".join(_familiar(step.name).partition("] ")[2].split())
