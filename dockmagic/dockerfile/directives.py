"""``# syntax=…``, ``# escape=…``, ``# check=…``: directives at the top of a file, before anything else."""

from __future__ import annotations

import json
import re

from dockmagic.dockerfile.errors import ParseError
from dockmagic.dockerfile.golang import SPACES
from dockmagic.dockerfile.tree import Directive

KNOWN = frozenset({"syntax", "escape", "check"})
BOM = "\ufeff"
_PAIR = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*")


class DirectiveReader:
    """Reads lines as long as they are directives; the first other line ends it."""

    def __init__(self, comment: str = "#") -> None:
        self.comment = comment
        self.done = False
        self.found: dict[str, Directive] = {}

    def read(self, text: str, line: int) -> Directive | None:
        """The directive that the line ``text`` is, or None. ParseError if there was one of that name already."""
        if self.done:
            return None
        match = None
        if text.startswith(self.comment):
            match = _PAIR.fullmatch(text[len(self.comment) :].lstrip(SPACES))
        name = match.group(1).lower() if match else ""
        if match is None or name not in KNOWN:
            self.done = True
            return None
        if name in self.found:
            raise ParseError(f"only one {name} parser directive can be used")
        directive = Directive(name, match.group(2), line)
        self.found[name] = directive
        return directive


def find_directive(name: str, text: str) -> Directive | None:
    """The directive ``name`` of a file; a byte order mark and a ``#!`` line before it are tolerated."""
    return _find(name, text, "#")


def detect_syntax(text: str) -> Directive | None:
    """The frontend that a file asks for: ``# syntax=``, ``// syntax=`` or a JSON object's "syntax" (line 0 or 1)."""
    directive = _find("syntax", text, "#") or _find("syntax", text, "//")
    if directive is not None:
        return directive
    rest, first = _without_shebang(text)
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    syntax = value.get("syntax") if isinstance(value, dict) else None
    return Directive("syntax", syntax, first - 1) if isinstance(syntax, str) else None


def command(directive: Directive) -> str:
    """The value up to the first space: the part that counts of ``docker/dockerfile:1 # note``."""
    return directive.value.partition(" ")[0]


def _find(name: str, text: str, comment: str) -> Directive | None:
    rest, first = _without_shebang(text)
    reader = DirectiveReader(comment)
    for number, line in enumerate(rest.split("\n"), first):
        try:
            directive = reader.read(line.removesuffix("\r"), number)
        except ParseError:
            return None
        if directive is None:
            return None
        if directive.name == name:
            return directive
    return None


def _without_shebang(text: str) -> tuple[str, int]:
    text = text.removeprefix(BOM)
    if not text.startswith("#!"):
        return text, 1
    return text.partition("\n")[2], 2
