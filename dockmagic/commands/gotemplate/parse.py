"""The template language's tree (Go, text/template/parse): text, actions, if, range, with, variables, pipelines."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any


class TemplateError(Exception):
    """The template can't be parsed or executed; the message is Go's, from ``template: …`` on."""


@dataclass(frozen=True)
class Literal:
    value: Any
    source: str


@dataclass(frozen=True)
class Field:
    """``.A.B``, ``$x.A``, or ``(pipeline).A``. ``base`` is None for the dot, a name with ``$``, or a pipeline."""

    base: Any
    names: tuple[str, ...]
    at: int
    source: str


@dataclass(frozen=True)
class Call:
    """A command: a function or a field with its arguments, or a lone operand."""

    operands: tuple[Any, ...]
    at: int


@dataclass(frozen=True)
class Name:
    """A function's name."""

    name: str
    at: int


@dataclass(frozen=True)
class Pipeline:
    calls: tuple[Call, ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


@dataclass
class Node:
    """``kind``: text, action, if, range, with, break, continue."""

    kind: str
    text: str = ""
    pipeline: Pipeline | None = None
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


_TOKEN = re.compile(
    r"""\s+ | (?P<string>"(?:\\.|[^"\\\n])*") | (?P<raw>`[^`]*`) | (?P<char>'(?:\\.|[^'\\])') |
    (?P<number>[+-]?\d+(?:\.\d+)?) | (?P<field>(?:\.[A-Za-z_]\w*)+) | (?P<variable>\$\w*(?:\.[A-Za-z_]\w*)*) |
    (?P<word>[A-Za-z_]\w*) | (?P<dot>\.) | (?P<symbol>:=|[|(),=])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int
    spaced: bool


class Parser:
    """Reads one template; ``functions`` are the names it may call."""

    def __init__(self, source: str, functions: frozenset[str]) -> None:
        self._source = source
        self._functions = functions
        self._pieces = list(_pieces(source))
        self._piece = 0
        self._tokens: list[Token] = []

    def parse(self) -> list[Node]:
        nodes, ended = self._nodes()
        if ended:
            raise TemplateError(f"template: :1: unexpected {{{{{ended}}}}}")
        return nodes

    def _nodes(self, *, nested: bool = False) -> tuple[list[Node], str]:
        """Nodes up to an ``end`` or ``else``, which is told."""
        nodes: list[Node] = []
        while self._piece < len(self._pieces):
            kind, text, at = self._pieces[self._piece]
            self._piece += 1
            if kind == "text":
                nodes.append(Node("text", text))
                continue
            self._tokens = list(self._lex(text, at))
            word = self._tokens[0].text if self._tokens and self._tokens[0].kind == "word" else ""
            if word in {"end", "else"}:
                if not nested:
                    return nodes, word
                return nodes, " ".join(t.text for t in self._tokens[:1])
            if word in {"if", "range", "with"}:
                nodes.append(self._control(word))
            elif word in {"break", "continue"}:
                nodes.append(Node(word))
            elif not self._tokens:
                if not text.strip().startswith("/*"):
                    raise TemplateError("template: :1: missing value for command")
            else:
                nodes.append(Node("action", pipeline=self._whole_pipeline()))
        if nested:
            raise TemplateError("template: :1: unexpected EOF")
        return nodes, ""

    def _control(self, word: str) -> Node:
        self._tokens.pop(0)
        node = Node(word, pipeline=self._whole_pipeline())
        node.body, ended = self._nodes(nested=True)
        if ended == "else":
            rest = self._tokens[1:]
            if rest and rest[0].kind == "word" and rest[0].text in {"if", "with"}:
                self._tokens = rest
                node.otherwise = [self._control(rest[0].text)]
            else:
                node.otherwise, _ = self._nodes(nested=True)
        return node

    def _lex(self, text: str, at: int) -> list[Token]:
        tokens = []
        place, spaced = 0, True
        if text.strip().startswith("/*"):
            return []
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                char = text[place]
                if char in "\"`'":
                    raise TemplateError(f"template: :1: unterminated {'raw ' if char == '`' else ''}quoted string")
                raise TemplateError(f"template: :1: unexpected {json.dumps(char)} in operand")
            if match.lastgroup:
                tokens.append(Token(match.lastgroup, match[0], at + place, spaced))
                spaced = False
            else:
                spaced = True
            place = match.end()
        return tokens

    def _whole_pipeline(self) -> Pipeline:
        pipeline = self._pipeline()
        if self._tokens:
            raise TemplateError(f"template: :1: unexpected <{self._tokens[0].text}> in operand")
        return pipeline

    def _pipeline(self) -> Pipeline:
        variables, declares = self._declaration()
        calls = []
        while True:
            calls.append(self._call())
            if not self._tokens or self._tokens[0].text != "|":
                break
            self._tokens.pop(0)
        return Pipeline(tuple(calls), variables, declares)

    def _declaration(self) -> tuple[tuple[str, ...], bool]:
        texts = [t.text for t in self._tokens[:4]]
        kinds = [t.kind for t in self._tokens[:4]]
        if len(texts) > 1 and kinds[0] == "variable" and texts[1] in {":=", "="}:
            del self._tokens[:2]
            return (texts[0],), texts[1] == ":="
        if len(texts) > 3 and kinds[0] == kinds[2] == "variable" and texts[1] == "," and texts[3] == ":=":
            del self._tokens[:4]
            return (texts[0], texts[2]), True
        return (), False

    def _call(self) -> Call:
        at = self._tokens[0].at if self._tokens else 0
        operands = []
        while self._tokens and self._tokens[0].text not in {"|", ")"}:
            operands.append(self._operand())
        if not operands:
            raise TemplateError("template: :1: missing value for command")
        return Call(tuple(operands), at)

    def _operand(self) -> Any:
        token = self._tokens.pop(0)
        if token.kind == "string":
            return self._chained(Literal(json.loads(_go_string(token.text)), token.text))
        if token.kind == "raw":
            return Literal(token.text[1:-1], token.text)
        if token.kind == "char":
            return Literal(ord(json.loads('"' + token.text[1:-1] + '"')), token.text)
        if token.kind == "number":
            return Literal(float(token.text) if "." in token.text else int(token.text), token.text)
        if token.kind == "field":
            return Field(None, tuple(token.text[1:].split(".")), token.at, token.text)
        if token.kind == "dot":
            return Field(None, (), token.at, ".")
        if token.kind == "variable":
            name, *names = token.text.split(".")
            return Field(name, tuple(names), token.at, token.text)
        if token.text == "(":
            inner = self._pipeline()
            if not self._tokens or self._tokens.pop(0).text != ")":
                raise TemplateError("template: :1: unclosed left paren")
            return self._chained(inner, token.at)
        if token.kind == "word":
            constant = {"true": True, "false": False, "nil": None}
            if token.text in constant:
                return Literal(constant[token.text], token.text)
            if token.text not in self._functions:
                raise TemplateError(f'template: :1: function "{token.text}" not defined')
            return Name(token.text, token.at)
        raise TemplateError(f"template: :1: unexpected {json.dumps(token.text)} in operand")

    def _chained(self, base: Any, at: int = 0) -> Any:
        """``(…).A.B``"""
        if self._tokens and self._tokens[0].kind == "field" and not self._tokens[0].spaced:
            token = self._tokens.pop(0)
            return Field(base, tuple(token.text[1:].split(".")), token.at, token.text)
        return base


def _go_string(quoted: str) -> str:
    """A Go string literal as a JSON one: \\x41 and \\' are Go's only."""
    quoted = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", quoted)
    return quoted.replace("\\'", "'").replace("\\a", "\\u0007").replace("\\v", "\\u000b").replace("\t", "\\t")


def _pieces(source: str) -> list[tuple[str, str, int]]:
    """(text or action, content, position) with the trim markers applied."""
    pieces: list[tuple[str, str, int]] = []
    place, trim = 0, False
    while True:
        start = source.find("{{", place)
        text = source[place:] if start < 0 else source[place:start]
        if trim:
            text = text.lstrip()
        if start < 0:
            pieces.append(("text", text, place))
            return [p for p in pieces if p[0] == "action" or p[1]]
        if re.match(r"\{\{-\s", source[start:]):
            text, inner = text.rstrip(), start + 3
        else:
            inner = start + 2
        pieces.append(("text", text, place))
        stop = _closing(source, inner)
        content = source[inner:stop]
        trim = bool(re.search(r"\s-$", content))
        pieces.append(("action", content[:-1] if trim else content, inner))
        place = stop + 2


def _closing(source: str, at: int) -> int:
    """Where the ``}}`` of an action that begins at ``at`` is; strings may hold braces."""
    scan = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`|/\*.*?\*/|\}\}', re.DOTALL)
    for match in scan.finditer(source, at):
        if match[0] == "}}":
            return match.start()
    word = re.match(r"\s*([A-Za-z_]\w*)\s*$", source[at:])
    if word:
        raise TemplateError(f'template: :1: function "{word[1]}" not defined')
    raise TemplateError("template: :1: unclosed action")
