"""Paths and wildcards as Go's ``path/filepath`` treats them: what COPY and ADD mean by a source pattern."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache


def clean(path: str) -> str:
    """``filepath.Clean``: ``.`` for the empty path, one leading slash at most, no ``..`` above the root."""
    cleaned = posixpath.normpath(path) if path else "."
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def normalize(base: str, path: str, *, keep_slash: bool) -> str:
    """BuildKit's ``system.NormalizePath``: an absolute, clean path; ``base`` is where a relative one begins.

    ``keep_slash`` keeps what a trailing ``/`` or ``/.`` says about a destination: that it is a folder.
    """
    original = path
    if not path.startswith("/"):
        path = posixpath.join("/", base, path)
    cleaned = clean(path)
    if keep_slash and cleaned != "/" and (original.endswith(("/", "/.")) or original == "."):
        cleaned += "/"
    return cleaned


def has_wildcards(name: str) -> bool:
    """Whether ``*``, ``?`` or ``[`` stands there unescaped."""
    position = 0
    while position < len(name):
        if name[position] == "\\":
            position += 1
        elif name[position] in "*?[":
            return True
        position += 1
    return False


def split_wildcards(path: str) -> tuple[str, str]:
    """The part of the path before its first component with a wildcard, and the rest (``""`` for none)."""
    parts = clean(path).split("/")
    for index, part in enumerate(parts):
        if has_wildcards(part):
            return "/".join(parts[:index]) or ("/" if path.startswith("/") else ""), "/".join(parts[index:])
    return clean(path), ""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """``filepath.Match``'s pattern as an expression; None for a malformed one, which matches nothing."""
    out: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            found = _character_class(pattern, position)
            if found is None:
                return None
            expression, position = found
            out.append(expression)
        elif char == "\\":
            if position >= len(pattern):
                return None
            out.append(re.escape(pattern[position]))
            position += 1
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


def _character_class(pattern: str, position: int) -> tuple[str, int] | None:
    negated = pattern[position : position + 1] == "^"
    position += negated
    ranges: list[str] = []
    while True:
        if pattern[position : position + 1] == "]" and ranges:
            return f"[{'^' if negated else ''}{''.join(ranges)}]", position + 1
        low = _class_character(pattern, position)
        if low is None:
            return None
        first, position = low
        last = first
        if pattern[position : position + 1] == "-":
            high = _class_character(pattern, position + 1)
            if high is None:
                return None
            last, position = high
        if first <= last:
            ranges.append(f"{re.escape(first)}-{re.escape(last)}")
        else:
            ranges.append("")


def _class_character(pattern: str, position: int) -> tuple[str, int] | None:
    char = pattern[position : position + 1]
    if char in {"", "-", "]"}:
        return None
    if char == "\\":
        position += 1
        char = pattern[position : position + 1]
        if not char:
            return None
    return char, position + 1


def match(pattern: str, path: str) -> bool:
    """``filepath.Match``, with False for a malformed pattern."""
    expression = compile_pattern(pattern)
    return expression is not None and expression.fullmatch(path) is not None
