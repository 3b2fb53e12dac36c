"""Executing a template on a value, with Go's built-in functions and docker's (docker CLI, templates/templates.go)."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from dockmagic.commands.gotemplate.parse import Call, Field, Literal, Name, Node, Parser, Pipeline, TemplateError
from dockmagic.commands.gotemplate.values import NO_VALUE, go_json, show, truth


class Typed:
    """A row of a list command: it has these fields and no other; functions take arguments (``.Label "x"``)."""

    def __init__(self, type_name: str, fields: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.fields = fields


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A parsed template. Raises TemplateError with Go's message; ``strict`` makes a missing key of a map an error."""

    def __init__(self, source: str, *, strict: bool = True) -> None:
        self._nodes = Parser(source, frozenset(FUNCTIONS)).parse()
        self._strict = strict

    def execute(self, value: Any) -> str:
        out: list[str] = []
        self._walk(self._nodes, value, {"$": value}, out)
        return "".join(out)

    def _walk(self, nodes: list[Node], dot: Any, variables: dict[str, Any], out: list[str]) -> None:
        for node in nodes:
            if node.kind == "text":
                out.append(node.text)
            elif node.kind == "break":
                raise _Break
            elif node.kind == "continue":
                raise _Continue
            elif node.pipeline is not None:
                self._act(node, node.pipeline, dot, variables, out)

    def _act(self, node: Node, pipeline: Pipeline, dot: Any, variables: dict[str, Any], out: list[str]) -> None:
        if node.kind == "range":
            self._range(node, pipeline, dot, variables, out)
            return
        scope = variables if node.kind == "action" else dict(variables)
        value = self._value(pipeline, dot, scope)
        for name in pipeline.variables:
            scope[name] = value
        if node.kind == "action":
            if not pipeline.variables:
                out.append(show(value))
        elif truth(value):
            self._walk(node.body, value if node.kind == "with" else dot, scope, out)
        else:
            self._walk(node.otherwise, dot, dict(variables), out)

    def _range(self, node: Node, pipeline: Pipeline, dot: Any, variables: dict[str, Any], out: list[str]) -> None:
        value = self._value(pipeline, dot, variables)
        pairs: list[tuple[Any, Any]]
        if isinstance(value, dict):
            pairs = sorted(value.items())
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(i, i) for i in range(value)]
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif not truth(value):
            pairs = []
        else:
            raise TemplateError(f"template: :1: range can't iterate over {show(value)}")
        for key, item in pairs:
            scope = dict(variables)
            if len(pipeline.variables) == 1:
                scope[pipeline.variables[0]] = item
            elif pipeline.variables:
                scope[pipeline.variables[0]], scope[pipeline.variables[1]] = key, item
            try:
                self._walk(node.body, item, scope, out)
            except _Continue:
                continue
            except _Break:
                break
        if not pairs:
            self._walk(node.otherwise, dot, dict(variables), out)

    def _value(self, pipeline: Pipeline, dot: Any, variables: dict[str, Any]) -> Any:
        piped: list[Any] = []
        for call in pipeline.calls:
            piped = [self._call(call, dot, variables, piped)]
        return piped[0]

    def _call(self, call: Call, dot: Any, variables: dict[str, Any], piped: list[Any]) -> Any:
        head, *rest = call.operands
        if isinstance(head, Name) and head.name in {"and", "or"}:
            return self._lazy(head.name == "or", [*rest, *(Literal(p, "") for p in piped)], dot, variables)
        arguments = [self._operand(o, dot, variables) for o in rest] + piped
        if isinstance(head, Name):
            return _apply(FUNCTIONS[head.name], head.name, head.at, arguments)
        value = self._operand(head, dot, variables)
        if callable(value):
            return value(*arguments)
        if arguments:
            source = getattr(head, "source", "")
            raise TemplateError(
                f'template: :1:{call.at}: executing "" at <{source}>: can\'t give argument to non-function {source}'
            )
        return value

    def _lazy(self, wanted: bool, operands: list[Any], dot: Any, variables: dict[str, Any]) -> Any:
        value: Any = None
        for operand in operands:
            value = self._operand(operand, dot, variables)
            if truth(value) == wanted:
                break
        return value

    def _operand(self, operand: Any, dot: Any, variables: dict[str, Any]) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Pipeline):
            return self._value(operand, dot, variables)
        if isinstance(operand, Name):
            return _apply(FUNCTIONS[operand.name], operand.name, operand.at, [])
        if isinstance(operand, Field):
            return self._field(operand, dot, variables)
        raise TemplateError(f"template: :1: can't evaluate {operand}")

    def _field(self, wanted: Field, dot: Any, variables: dict[str, Any]) -> Any:
        if wanted.base is None:
            value = dot
        elif isinstance(wanted.base, str):
            if wanted.base not in variables:
                raise TemplateError(f'template: :1: undefined variable "{wanted.base}"')
            value = variables[wanted.base]
        else:
            value = self._operand(wanted.base, dot, variables)
        for name in wanted.names:
            value = self._member(value, name, wanted)
        return value

    def _member(self, value: Any, name: str, wanted: Field) -> Any:
        where = f'template: :1:{wanted.at}: executing "" at <{wanted.source}>'
        if isinstance(value, Typed):
            if name not in value.fields:
                raise TemplateError(f"{where}: can't evaluate field {name} in type {value.type_name}")
            return value.fields[name]
        if isinstance(value, dict):
            if name in value:
                return value[name]
            if self._strict:
                raise TemplateError(f'{where}: map has no entry for key "{name}"')
            return NO_VALUE
        if value is NO_VALUE or value is None:
            return NO_VALUE
        kind = {bool: "bool", str: "string", int: "int", float: "float64", list: "[]interface {}"}.get(type(value), "")
        raise TemplateError(f"{where}: can't evaluate field {name} in type {kind or type(value).__name__}")


def _apply(function: Callable[..., Any], name: str, at: int, arguments: list[Any]) -> Any:
    try:
        return function(*arguments)
    except TemplateError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise TemplateError(f'template: :1:{at}: executing "" at <{name}>: error calling {name}: {error}') from None


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, NO_VALUE)
        elif isinstance(value, str):
            value = value.encode()[key]
        elif isinstance(value, list | tuple):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise TemplateError(
                    f'template: :1: executing "" at <index>: error calling index: index out of range: {show(key)}'
                )
            value = value[key]
        elif value is NO_VALUE or value is None:
            raise TemplateError('template: :1: executing "" at <index>: error calling index: index of untyped nil')
        else:
            raise ValueError(f"can't index item of type {type(value).__name__}")
    return value


def _slice(value: Any, *ends: int) -> Any:
    return value[slice(*ends)] if len(ends) > 1 else value[(ends or (0,))[0] :]


def _print(*values: Any) -> str:
    """fmt.Sprint: spaces between operands when neither is a string."""
    out = ""
    for i, value in enumerate(values):
        if i and not isinstance(value, str) and not isinstance(values[i - 1], str):
            out += " "
        out += show(value, inside=True)
    return out


def _printf(form: str, *values: Any) -> str:
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        verb = match[2]
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        value = rest.pop(0)
        if verb in "dxXob" and isinstance(value, int):
            return ("%" + match[1] + {"o": "o"}.get(verb, verb)) % value if verb != "b" else f"{value:b}"
        if verb in "feEgG":
            return str(("%" + match[1] + verb) % float(value))
        text = json.dumps(show(value, inside=True), ensure_ascii=False) if verb == "q" else show(value, inside=True)
        return str(("%" + match[1] + "s") % text)

    out = re.sub(r"%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])", one, form)
    return out + (f"%!(EXTRA {', '.join(show(v, inside=True) for v in rest)})" if rest else "")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        if isinstance(first, str) != isinstance(other, str) and None not in (first, other):
            raise ValueError("incompatible types for comparison")
        if first == other:
            return True
    return False


def _join(values: Any, separator: str) -> str:
    if isinstance(values, str):
        return values
    return separator.join(show(v, inside=True) for v in values or [])


def _truncate(text: str, length: int) -> str:
    return text[:length] if len(text) > length else text


def _pad(text: str, left: int, right: int) -> str:
    return " " * left + text + " " * right if text else ""


def _length(value: Any) -> int:
    if value is None or value is NO_VALUE or isinstance(value, bool | int | float):
        raise ValueError(f"len of {'nil pointer' if not value else 'type ' + type(value).__name__}")
    return len(value.encode()) if isinstance(value, str) else len(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *v: v[-1],
    "or": lambda *v: v[-1],
    "not": lambda v: not truth(v),
    "eq": _eq,
    "ne": lambda a, b: not _eq(a, b),
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": lambda *v: " ".join(show(x, inside=True) for x in v) + "\n",
    "printf": _printf,
    "html": lambda *v: html.escape(_print(*v)),
    "js": lambda *v: json.dumps(_print(*v))[1:-1],
    "urlquery": lambda *v: quote(_print(*v), safe=""),
    "json": lambda v: go_json(None if v is NO_VALUE else v.fields if isinstance(v, Typed) else v),
    "split": lambda text, by: text.split(by),
    "join": _join,
    "title": lambda text: re.sub(r"\b[a-z]", lambda m: m[0].upper(), text),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": _truncate,
}
