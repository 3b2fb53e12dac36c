"""Errors with the lines of the Dockerfile that they are about, as BuildKit prints them."""

from __future__ import annotations

from dockmagic.builder.request import BuildError
from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.source import Range

_RULE = "--------------------"


def code_frame(text: str, filename: str, start: int, end: int) -> str:
    """The lines ``start`` to ``end`` (from 1) with a few around them; "" when there are no such lines."""
    lines = text.split("\n")
    if not 1 <= start <= len(lines):
        return ""
    end = min(end, len(lines))
    first, last = start, end
    room, used = (4 if start == end else 2), 0
    while used < room:
        if first > 1:
            first -= 1
            used += 1
        if last != len(lines):
            last += 1
            used += 1
        used += 1
    shown = [f"{filename}:{start}", _RULE]
    for number in range(first, last + 1):
        mark = ">>>" if start <= number <= end else "   "
        shown.append(f" {number:3d} | {mark} {lines[number - 1]}")
    return "\n".join([*shown, _RULE, ""])


class Framer:
    """Makes build errors of other errors, for one Dockerfile."""

    def __init__(self, text: str, filename: str) -> None:
        self._text = text
        self._filename = filename

    def error(self, cause: Exception, place: Range | None = None, *, exit_code: int = 0) -> BuildError:
        """A BuildError with the cause's message, and the place that the cause itself or the caller knows."""
        if isinstance(cause, BuildError) and cause.line:
            return cause
        if isinstance(cause, DockerfileError) and cause.range is not None:
            place = cause.range
        if isinstance(cause, BuildError):
            exit_code = cause.exit_code or exit_code
        if place is None:
            return cause if isinstance(cause, BuildError) else BuildError(str(cause), exit_code=exit_code)
        frame = code_frame(self._text, self._filename, place.start.line, place.end.line)
        return BuildError(str(cause), line=place.start.line, exit_code=exit_code, code_frame=frame)
