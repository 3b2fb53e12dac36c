"""The place of every token of an instruction: for marking errors and for completion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dockmagic.dockerfile.arguments import SPLITS, WHITESPACE, word_spans
from dockmagic.dockerfile.golang import SPACES
from dockmagic.dockerfile.parser import scan_flags
from dockmagic.dockerfile.source import Range
from dockmagic.dockerfile.tree import Node

Kind = Literal["keyword", "flag", "argument", "key", "value"]
Span = tuple[int, int]

_KEYWORD = re.compile(r"([^\t\v\f\r ]*)[\t\v\f\r ]*")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_FIRST_WORD = re.compile(rf"[^{re.escape(SPACES)}]+")
_WHOLE = frozenset({"cmd", "entrypoint", "run", "shell", "maintainer", "stopsignal", "user", "workdir"})
_PAIRS = frozenset({"env", "label"})


@dataclass(frozen=True, slots=True)
class Token:
    """``value`` is as the tree has it: quotes of a flag taken off, a JSON string decoded."""

    kind: Kind
    value: str
    range: Range


def tokens(node: Node, escape: str = "\\") -> list[Token]:
    """The tokens of an instruction in their order. ENV and LABEL give key and value, ONBUILD those of its trigger."""
    text = node.original
    start = len(text) - len(text.lstrip(SPACES))
    match = _KEYWORD.match(text, start)
    assert match is not None, "every part of the expression may be empty"
    found = [Token("keyword", node.keyword, node.place(start, match.end(1)))]
    end = len(text.rstrip(SPACES))
    rest = text[match.end() : end]
    if node.child is not None:
        return found + tokens(node.child, escape)
    offset = match.end()
    flags, arguments = scan_flags(rest)
    for value, first, last in flags:
        found.append(Token("flag", value, node.place(offset + first, offset + last)))
    arguments += len(rest[arguments:]) - len(rest[arguments:].lstrip(SPACES))
    offset += arguments
    name, rest = node.keyword.lower(), rest[arguments:]
    spans = _spans(name, rest, escape, is_json=node.json)
    if name in _PAIRS:
        values = [arg for index, arg in enumerate(node.args) if index % 3 < 2]
        kinds: list[Kind] = ["key", "value"] * (len(values) // 2)
    else:
        values = node.args
        kinds = ["argument"] * len(values)
    if len(values) != len(spans) or name not in SPLITS:
        # Arguments that could not be read (or an unknown instruction's): as words.
        spans = word_spans(rest, escape)
        values = [rest[first:last] for first, last in spans]
        kinds = ["argument"] * len(values)
    for kind, value, (first, last) in zip(kinds, values, spans, strict=True):
        found.append(Token(kind, value, node.place(offset + first, offset + last)))
    return found


def _spans(name: str, rest: str, escape: str, *, is_json: bool) -> list[Span]:
    if not rest:
        return []
    if name == "healthcheck":
        return _health(rest, is_json=is_json)
    if is_json:
        return [match.span() for match in _JSON_STRING.finditer(rest)]
    if name in _WHOLE:
        return [(0, len(rest))]
    if name == "arg":
        return word_spans(rest, escape)
    if name in _PAIRS:
        return _pairs(rest, escape)
    return _delimited(rest)


def _delimited(rest: str) -> list[Span]:
    spans, start = [], 0
    for match in WHITESPACE.finditer(rest):
        spans.append((start, match.start()))
        start = match.end()
    return [*spans, (start, len(rest))]


def _health(rest: str, *, is_json: bool) -> list[Span]:
    match = _FIRST_WORD.match(rest)
    if match is None:
        return []
    tail = rest[match.end() :]
    start = match.end() + len(tail) - len(tail.lstrip(SPACES))
    if is_json:
        return [match.span(), *(found.span() for found in _JSON_STRING.finditer(rest, start))]
    return [match.span(), *([(start, len(rest))] if start < len(rest) else [])]


def _pairs(rest: str, escape: str) -> list[Span]:
    words = word_spans(rest, escape)
    if not words:
        return []
    if "=" not in rest[words[0][0] : words[0][1]]:
        match = WHITESPACE.search(rest)
        return [(0, match.start()), (match.end(), len(rest))] if match else words
    spans: list[Span] = []
    for start, end in words:
        middle = rest.find("=", start, end)
        if middle >= 0:
            spans += ((start, middle), (middle + 1, end))
    return spans
