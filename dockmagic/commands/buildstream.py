"""One decoder for what engines tell of a build: BuildKit's trace, and the classic builder's lines made into it."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dockmagic import trace
from dockmagic.trace import StatusResponse, Vertex, VertexLog


@dataclass
class Outcome:
    """How the stream ended: an image, or an error and what the engine says is its exit code."""

    image_id: str = ""
    error: str = ""
    code: int = 0


class Decoder:
    """Turns messages into the trace; :attr:`outcome` is whole when they have ended."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._classic = Classic()

    def decode(self, messages: Iterable[dict[str, Any]]) -> Iterator[StatusResponse]:
        """What each message adds to the build's state."""
        for message in messages:
            if message.get("id") == "moby.buildkit.trace":
                yield trace.decode(base64.b64decode(message["aux"]))
            elif isinstance(message.get("aux"), dict) and message["aux"].get("ID"):
                self.outcome.image_id = str(message["aux"]["ID"])
            elif "error" in message:
                detail = message.get("errorDetail") or {}
                self.outcome.error = str(detail.get("message") or message["error"])
                self.outcome.code = int(detail.get("code") or 0)
                yield from self._classic.fail(self.outcome.error)
            elif message.get("stream"):
                yield from self._classic.take(str(message["stream"]))
        yield from self._classic.end()


class Classic:
    """``Step 2/3 : RUN make`` and what follows, as vertexes."""

    def __init__(self) -> None:
        self._step: Vertex | None = None

    def take(self, text: str) -> Iterator[StatusResponse]:
        step = re.match(r"Step (\d+)/(\d+) : (.*)", text, re.DOTALL)
        if step:
            yield from self.end()
            name = f"[{step[1]}/{step[2]}] {step[3].strip()}"
            self._step = Vertex(f"classic-{step[1]}", name, started=time.time())
            yield StatusResponse(vertexes=[self._step])
        elif self._step is None:
            return
        elif text.startswith(" ---> Using cache"):
            self._step = self._copy(cached=True)
            yield StatusResponse(vertexes=[self._step])
        elif text.startswith("Successfully built"):
            yield from self.end()
        elif not re.match(r" ---> |Removing intermediate container", text):
            said = re.sub("\x1b\\[[0-9;]*m", "", text)  # the classic builder reddens standard error
            if said.strip():
                yield StatusResponse(logs=[VertexLog(self._step.digest, said.encode(), 1, time.time())])

    def _copy(self, *, cached: bool = False, error: str = "", completed: float | None = None) -> Vertex:
        v = self._step or Vertex("")
        return Vertex(v.digest, v.name, [], cached or v.cached, v.started, completed, error)

    def fail(self, error: str) -> Iterator[StatusResponse]:
        if self._step is not None:
            yield StatusResponse(vertexes=[self._copy(error=error, completed=time.time())])
            self._step = None

    def end(self) -> Iterator[StatusResponse]:
        if self._step is not None:
            yield StatusResponse(vertexes=[self._copy(completed=time.time())])
            self._step = None


def friendly(error: str) -> str:
    """An engine's error in BuildKit's present words; older ones said the same otherwise."""
    text = re.sub(r"^failed to solve(?: with frontend \S+)?: ", "", error)
    text = re.sub(r"^(?:rpc error: code = \w+ desc = )+", "", text)
    text = re.sub(r"^failed to (?:create LLB definition|solve with frontend \S+): ", "", text)
    ran = re.search(r"executor failed running \[(.*?)\]: (exit code: \d+)", text, re.DOTALL)
    if ran is None:
        ran = re.search(r"The command '(.*?)' returned a non-zero code: (\d+)", text, re.DOTALL)
    if ran:
        code = ran[2] if ran[2].startswith("exit") else f"exit code: {ran[2]}"
        return f'process "{ran[1]}" did not complete successfully: {code}'
    return text
