"""The tree of a Dockerfile: one node an instruction, with the original text and the place of every token."""

from __future__ import annotations

from dataclasses import dataclass, field

from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.golang import quote
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

    ``args`` are the arguments as BuildKit's parser splits them: ENV and LABEL give key, value and separator (``=`` or
    "") in turns. ``child`` is the instruction inside an ONBUILD. tokens.py finds the place of each argument.
    """

    keyword: str
    args: list[str]
    flags: list[str]
    original: str
    """The instruction on one line, continuations joined; bodies of heredocs are in ``heredocs``."""
    start_line: int
    end_line: int
    json: bool = False
    heredocs: list[Heredoc] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    """The comment lines before it, without ``#``."""
    child: Node | None = None
    error: DockerfileError | None = None
    """Why its arguments could not be read; only in a tree parsed with ``recover``."""
    pieces: list[tuple[int, int, int]] = field(default_factory=list, repr=False, compare=False)
    """Where ``original`` comes from: (offset in it, line, column) of each line's part."""
    end_column: int = field(default=0, repr=False, compare=False)
    unfinished: bool = False
    """Its last line asks for another one, but the file ends."""

    @property
    def range(self) -> Range:
        """From the keyword to the end of the last line."""
        column = self.pieces[0][2] if self.pieces else 0
        return Range(Position(self.start_line, column), Position(self.end_line, self.end_column))

    def place(self, start: int, end: int) -> Range:
        """The place in the file of ``original[start:end]``."""
        return Range(self._position(start), self._position(max(start, end - 1), past=int(end > start)))

    def _position(self, offset: int, past: int = 0) -> Position:
        first, line, column = self.pieces[0] if self.pieces else (0, self.start_line, 0)
        for piece in self.pieces:
            if piece[0] > offset:
                break
            first, line, column = piece
        return Position(line, column + offset - first + past)

    def flat_args(self) -> list[str]:
        """The arguments, an ONBUILD's instruction and its arguments in one list."""
        return self.args if self.child is None else [self.child.keyword, *self.child.flat_args()]

    def dump(self) -> str:
        """The node as an S-expression, as BuildKit's parser tests print it."""
        text = self.keyword.lower()
        if self.flags:
            text += " [" + " ".join(map(quote, self.flags)) + "]"
        if self.child is not None:
            text += f" ({self.child.dump()})"
        return " ".join([text, *map(quote, self.args)]).strip()


@dataclass(slots=True)
class Dockerfile:
    """A parsed file."""

    nodes: list[Node]
    escape: str = "\\"
    directives: list[Directive] = field(default_factory=list)
    warnings: list[ParserWarning] = field(default_factory=list)
    errors: list[DockerfileError] = field(default_factory=list)
    """What is wrong with it; empty unless parsed with ``recover``."""
    text: str = field(default="", repr=False, compare=False)

    def directive(self, name: str) -> Directive | None:
        """The directive of that name (``syntax``, ``escape``, ``check``)."""
        return next((directive for directive in self.directives if directive.name == name), None)

    def dump(self) -> str:
        """The tree as S-expressions, one a line."""
        return "\n".join(f"({node.dump()})" for node in self.nodes)

    def node_at(self, line: int) -> Node | None:
        """The instruction that the line belongs to."""
        return next((node for node in self.nodes if node.start_line <= line <= node.end_line), None)
