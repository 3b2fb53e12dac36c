"""The tree of a Dockerfile: one node an instruction, with the place of every token and the original text."""

from __future__ import annotations

from dataclasses import dataclass, field

from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.source import Position, Range


@dataclass(slots=True)
class Heredoc:
    """``<<NAME`` and its body. ``content`` is as written; ``chomp`` (``<<-``) asks to remove leading tabs."""

    name: str
    descriptor: int = 0
    expand: bool = True
    chomp: bool = False
    content: str = ""


@dataclass(slots=True, frozen=True)
class Token:
    """A keyword, flag or argument, and where it stands. ``value`` is as parsed: a JSON string is decoded."""

    value: str
    range: Range


@dataclass(slots=True, frozen=True)
class Directive:
    """``# name=value`` at the top of the file."""

    name: str
    value: str
    line: int


@dataclass(slots=True, frozen=True)
class ParserWarning:
    """What the parser finds worth a word; ``rule`` is the check's name."""

    rule: str
    message: str
    line: int


@dataclass(slots=True)
class Node:
    """One instruction.

    ``args`` are the arguments as BuildKit's parser splits them: ENV and LABEL give key, value and separator (``=`` or "")
    in turns. ``child`` is the instruction inside an ONBUILD.
    """

    keyword: str
    args: list[str]
    flags: list[str]
    original: str
    """The instruction on one line, continuations joined."""
    start_line: int
    end_line: int
    json: bool = False
    heredocs: list[Heredoc] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    """The comment lines right before it, without ``#``."""
    child: Node | None = None
    error: DockerfileError | None = None
    """Why its arguments could not be read; only in a tree parsed with ``recover``."""
    _segments: list[tuple[int, int, int]] = field(default_factory=list, repr=False, compare=False)
    _spans: list[tuple[int, int]] = field(default_factory=list, repr=False, compare=False)


__all__ = ["Directive", "Heredoc", "Node", "ParserWarning", "Position", "Range", "Token"]
