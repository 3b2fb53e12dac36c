"""Text to tree: lines, continuations, comments, directives, heredocs, flags.

What each instruction's arguments mean is instructions.py's. With ``recover`` nothing is raised: the tree holds what
could be read, and its errors; checks and completion use it on half-written cells.
"""

from __future__ import annotations

import re

from dockmagic.dockerfile.arguments import SPLITS, ignored
from dockmagic.dockerfile.directives import BOM, DirectiveReader
from dockmagic.dockerfile.errors import DockerfileError, ParseError
from dockmagic.dockerfile.golang import SPACES
from dockmagic.dockerfile.heredoc import heredocs_in_line
from dockmagic.dockerfile.source import Position, Range
from dockmagic.dockerfile.tree import Dockerfile, Heredoc, Node, ParserWarning

MAX_LINE = 65535
"""The longest line in bytes, its newline not counted (Go's ``bufio.MaxScanTokenSize``)."""
_SPLIT = re.compile(r"([^\t\v\f\r ]*)(?:[\t\v\f\r ]+(.*))?", re.DOTALL)
_PLAIN_FLAG = re.compile(rf"""--[^{re.escape(SPACES)}'"\\]*(?![^{re.escape(SPACES)}])""")
"""A flag without quotes and escapes, up to a space or the end."""
_WITH_HEREDOCS = frozenset({"add", "copy", "run"})
_MAX_NESTING = 100
"""ONBUILD in ONBUILD … is refused later; here it must only not exhaust the stack."""


def parse(text: str | bytes, *, recover: bool = False) -> Dockerfile:
    """The tree of a Dockerfile. ParseError (with its place), unless ``recover``."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return _Parser(text, recover).parse()


def parse_line(line: str, escape: str = "\\") -> Node:
    """The node of one instruction on one line, without heredoc bodies."""
    return _node(line, escape, [], 1, [(0, 1, 0)])


class _Parser:
    """One pass over the lines."""

    def __init__(self, text: str, recover: bool) -> None:
        self.text = text.removeprefix(BOM)
        self.recover = recover
        self.lines = self.text.split("\n")
        self.ends_with_newline = not self.lines[-1]
        if self.ends_with_newline:
            # The last newline ends a line and begins none.
            self.lines.pop()
        self.index = 0
        """Lines read so far; the number of the last one read."""
        self.tree = Dockerfile([], text=self.text)
        self.directives = DirectiveReader()
        self.comments: list[str] = []
        self.too_long: ParseError | None = None

    def parse(self) -> Dockerfile:
        self._cut_at_long_line()
        tree, lines = self.tree, self.lines
        while self.index < len(lines):
            line = lines[self.index]
            self.index += 1
            stripped = line.rstrip("\r\n").lstrip(SPACES)
            if stripped.startswith("#"):
                self._comment(line, stripped)
                continue
            self.directives.done = True
            if stripped:
                self._instruction(stripped, len(line.rstrip("\r\n")) - len(stripped))
        tree.directives = list(self.directives.found.values())
        if not tree.nodes:
            self._fail(ParseError("file with no instructions", self._line_range(max(1, self.index))))
        if self.too_long:
            self._fail(self.too_long)
        return tree

    def _cut_at_long_line(self) -> None:
        """Forget the lines from a too long one on, as BuildKit's scanner stops there."""
        if len(self.text) <= MAX_LINE // 4:
            return
        for number, line in enumerate(self.lines):
            # A character is at most four bytes.
            if len(line) > MAX_LINE // 4 and len(line.encode("utf-8", "surrogatepass")) > MAX_LINE:
                self.too_long = ParseError(
                    f"dockerfile line greater than max allowed size of {MAX_LINE}", self._line_range(number + 1)
                )
                del self.lines[number:]
                self.ends_with_newline = True
                return

    def _comment(self, line: str, stripped: str) -> None:
        # As BuildKit, which drops one character of the line: an indented comment keeps its "#".
        comment = line[1:].strip(SPACES)
        try:
            directive = self.directives.read(stripped, self.index)
            if directive is not None and directive.name == "escape":
                self._set_escape(directive.value)
        except ParseError as error:
            self._fail(error.at(self._line_range(self.index)))
            return
        if directive is not None:
            return
        if comment:
            self.comments.append(comment)
        else:
            self.comments = []

    def _set_escape(self, token: str) -> None:
        if token not in {"\\", "`"}:
            raise ParseError(f"invalid escape token '{token}' does not match ` or \\")
        self.tree.escape = token

    def _instruction(self, line: str, indent: int) -> None:
        start = self.index
        original, pieces, end_column, unfinished = self._join(line, indent)
        comments, self.comments = self.comments, []
        try:
            node = _node(original, self.tree.escape, comments, start, pieces)
        except DockerfileError as error:
            self._fail(error.at(Range(Position(start, indent), Position(self.index, end_column))))
            node = _broken(original, comments, start, pieces, error)
        node.end_line, node.end_column, node.unfinished = self.index, end_column, unfinished
        self.tree.nodes.append(node)
        if "<<" in original and _may_have_heredocs(node):
            self._heredocs(node)

    def _join(self, line: str, indent: int) -> tuple[str, list[tuple[int, int, int]], int, bool]:
        """The whole instruction on one line, where its pieces come from, the last column, and if it is unfinished."""
        escape, lines, count = self.tree.escape, self.lines, len(self.lines)
        pieces = [(0, self.index, indent)]
        end_column = indent + len(line)
        line, continues = _continuation(line, escape)
        if not continues:
            return line, pieces, end_column, False
        parts = [line]
        length = len(line)
        empty = False
        while continues and self.index < count:
            raw = lines[self.index].rstrip("\r\n")
            self.index += 1
            end_column = len(raw)
            stripped = raw.lstrip(SPACES)
            if not stripped:
                empty = True
                continue
            if stripped[0] == "#":
                continue
            part, continues = _continuation(raw, escape)
            pieces.append((length, self.index, 0))
            parts.append(part)
            length += len(part)
        original = "".join(parts)
        if empty:
            message = f"Empty continuation line found in: {original}"
            self.tree.warnings.append(ParserWarning("NoEmptyContinuation", message, self.index))
        return original, pieces, end_column, continues

    def _heredocs(self, node: Node) -> None:
        try:
            heredocs = heredocs_in_line(node.original)
        except DockerfileError as error:
            self._fail(error.at(node.range))
            node.error = error
            return
        for heredoc in heredocs:
            terminated = self._body(heredoc)
            node.heredocs.append(heredoc)
            node.end_line = self.index
            node.end_column = len(self.lines[self.index - 1].rstrip("\r\n"))
            if not terminated:
                node.error = ParseError("unterminated heredoc", node.range)
                self._fail(node.error)
                return

    def _body(self, heredoc: Heredoc) -> bool:
        """Read the heredoc's body; false if the file ends first."""
        body: list[str] = []
        while self.index < len(self.lines):
            line = self.lines[self.index]
            self.index += 1
            terminator = line.rstrip("\r\n")
            if heredoc.chomp:
                terminator = terminator.lstrip("\t")
            if terminator == heredoc.name:
                heredoc.content = "".join(body)
                return True
            body.append(line)
            if self.index < len(self.lines) or self.ends_with_newline:
                body.append("\n")
        heredoc.content = "".join(body)
        return False

    def _fail(self, error: DockerfileError) -> None:
        if not self.recover:
            raise error
        self.tree.errors.append(error)

    def _line_range(self, number: int) -> Range:
        line = self.lines[number - 1].rstrip("\r\n") if number <= len(self.lines) else ""
        return Range(Position(number, 0), Position(number, len(line)))


def _continuation(line: str, escape: str) -> tuple[str, bool]:
    """The line without its continuation token, and whether it had one. A doubled token continues nothing."""
    trimmed = line.rstrip(" \t")
    if trimmed.endswith(escape) and trimmed[-2:-1] != escape:
        return trimmed[:-1], True
    return line, False


def split_command(line: str) -> tuple[str, list[str], str]:
    """Keyword, flags, and the rest of an instruction."""
    match = _SPLIT.match(line.strip(SPACES))
    assert match is not None, "every part of the expression may be empty"
    keyword, rest = match.group(1), (match.group(2) or "").lstrip(SPACES)
    if not rest.startswith("--"):
        return keyword, [], rest
    flags, end = scan_flags(rest)
    return keyword, [flag for flag, _, _ in flags], rest[end:].strip(SPACES)


def scan_flags(rest: str) -> tuple[list[tuple[str, int, int]], int]:
    """The flags at the start of ``rest`` with their places, and where the arguments begin.

    Quotes and escapes (``\\`` always) are taken off. A bare ``--`` ends the flags.
    """
    flags: list[tuple[str, int, int]] = []
    position, length = 0, len(rest)
    while True:
        while position < length and rest[position] in SPACES:
            position += 1
        if not rest.startswith("--", position):
            return flags, position
        start = position
        match = _PLAIN_FLAG.match(rest, position)
        if match is not None:
            flag, position = match.group(), match.end()
        else:
            flag, position = _scan_flag(rest, position)
        if flag == "--":
            return flags, position
        flags.append((flag, start, position))


def _scan_flag(rest: str, position: int) -> tuple[str, int]:
    word: list[str] = []
    quote = ""
    while position < len(rest):
        char = rest[position]
        if quote:
            if char == quote:
                quote = ""
                position += 1
                continue
        elif char in SPACES:
            break
        elif char in "'\"":
            quote = char
            position += 1
            continue
        if char == "\\":
            position += 1
            char = rest[position : position + 1]
        word.append(char)
        position += 1
    return "".join(word), min(position, len(rest))


def _node(
    line: str, escape: str, comments: list[str], start: int, pieces: list[tuple[int, int, int]], depth: int = 0
) -> Node:
    keyword, flags, rest = split_command(line)
    name = keyword.lower()
    if name != "onbuild" or not rest:
        args, is_json = SPLITS.get(name, ignored)(rest, escape) if name != "onbuild" else ([], False)
        return Node(keyword, args, flags, line, start, start, is_json, [], comments, None, None, pieces)
    if depth == _MAX_NESTING:
        raise ParseError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    child = _node(rest, escape, [], start, _shifted(pieces, line.rfind(rest)), depth + 1)
    return Node(keyword, [], flags, line, start, start, False, [], comments, child, None, pieces)


def _shifted(pieces: list[tuple[int, int, int]], offset: int) -> list[tuple[int, int, int]]:
    """The pieces of the line's text from ``offset`` on."""
    kept = [piece for piece in pieces if piece[0] > offset]
    before = pieces[len(pieces) - len(kept) - 1]
    first = (0, before[1], before[2] + offset - before[0])
    return [first, *((start - offset, line, column) for start, line, column in kept)]


def _broken(
    line: str, comments: list[str], start: int, pieces: list[tuple[int, int, int]], error: DockerfileError
) -> Node:
    keyword, flags, _ = split_command(line)
    return Node(keyword, [], flags, line, start, start, False, [], comments, None, error, pieces)


def _may_have_heredocs(node: Node) -> bool:
    target = node.child or node if node.keyword.lower() == "onbuild" else node
    return target.keyword.lower() in _WITH_HEREDOCS and not target.json
