"""``.dockerignore`` and ``--exclude``: patterns and what they match, by the rules of moby's patternmatcher.

Patterns are Go's ``filepath.Match`` plus ``**``; a later pattern wins over an earlier one, ``!`` takes back; a match of
a folder is a match of what is in it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dockmagic.dockerfile.directives import BOM
from dockmagic.dockerfile.errors import PatternError
from dockmagic.dockerfile.golang import SPACES

_ESCAPED = frozenset(".+()|{}$")
"""Characters that mean nothing in a pattern but something in an expression."""
_IN_SET = frozenset("[&~|")
"""Characters that Python's expressions, unlike Go's, find odd in a set."""
_BAD = "syntax error in pattern"


def read_ignore_file(text: str) -> list[str]:
    """The patterns of a ``.dockerignore``: comments and blank lines left out, paths cleaned, leading slashes gone."""
    patterns = []
    for line in text.removeprefix(BOM).split("\n"):
        if line.startswith("#"):
            continue
        pattern = line.strip(SPACES)
        if not pattern:
            continue
        inverted = pattern.startswith("!")
        if inverted:
            pattern = pattern[1:].strip(SPACES)
        if pattern:
            pattern = clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        patterns.append(f"!{pattern}" if inverted else pattern)
    return patterns


def clean(path: str) -> str:
    """Go's ``path.Clean``."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned


@dataclass(frozen=True)
class Pattern:
    """One pattern. ``exclusion``: it had a ``!``."""

    text: str
    exclusion: bool = False

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return _compile(self.text)

    def match(self, path: str) -> bool:
        """Whether the pattern matches exactly this path."""
        return self._expression.match(path) is not None


@dataclass(frozen=True)
class Ignore:
    """A list of patterns. PatternError if one of them is not valid."""

    patterns: tuple[Pattern, ...] = field(default=())

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Ignore:
        """From patterns as written (for a file's text see ``read_ignore_file``)."""
        compiled = []
        for text in patterns:
            text = text.strip(SPACES)
            if not text:
                continue
            text = clean(text)
            exclusion = text.startswith("!")
            if exclusion:
                text = text[1:]
                if not text:
                    raise PatternError('illegal exclusion pattern: "!"')
            check_pattern(text)
            compiled.append(Pattern(text, exclusion))
        return cls(tuple(compiled))

    @classmethod
    def of_file(cls, text: str) -> Ignore:
        """From the text of a ``.dockerignore``."""
        return cls.of(read_ignore_file(text))

    @cached_property
    def exclusions(self) -> bool:
        """Whether a pattern has a ``!``: then what is in an ignored folder has to be looked at."""
        return any(pattern.exclusion for pattern in self.patterns)

    def matches(self, path: str) -> bool:
        """moby's old rule, which looks at one parent only; ``matches_or_parent_matches`` is the one to use."""
        parents = posixpath.dirname(path).split("/")
        return self._matches(path, lambda pattern: _one_parent(pattern, parents))

    def matches_or_parent_matches(self, path: str) -> bool:
        """Whether the path, or a folder that it is in, is matched (and not taken back). "." never is."""
        parents = _parents(path)
        return self._matches(path, lambda pattern: any(map(pattern.match, parents)))

    def matches_below(self, path: str, parent: bool) -> bool:
        """moby's old rule for walking a tree, which knows of the folder only whether it matches; see ``matches_in``."""
        return self._matches(path, lambda pattern: False, parent)

    def _matches(self, path: str, parent_matches: Callable[[Pattern], bool], matched: bool = False) -> bool:
        for pattern in self.patterns:
            # An inclusion has nothing to add to a match, nor an exclusion anything to take back before.
            if pattern.exclusion == matched and (pattern.match(path) or parent_matches(pattern)):
                matched = not pattern.exclusion
        return matched

    def matches_in(self, path: str, parent: Sequence[bool]) -> tuple[bool, list[bool]]:
        """As ``matches_or_parent_matches`` when walking a tree: ``parent`` is what this gave for the folder.

        Gives whether the path matches, and what to pass on for the paths in it. () at the top.
        """
        matched = False
        results = []
        parents = None if parent else _parents(path)
        for index, pattern in enumerate(self.patterns):
            found = bool(parent) and parent[index]
            if not found:
                if pattern.exclusion != matched:
                    results.append(False)
                    continue
                found = pattern.match(path) or (parents is not None and any(map(pattern.match, parents)))
            results.append(found)
            if found:
                matched = not pattern.exclusion
        return matched, results


def matches(path: str, patterns: Iterable[str]) -> bool:
    """``Ignore.matches`` of one path."""
    return _once(path, patterns, Ignore.matches)


def matches_or_parent_matches(path: str, patterns: Iterable[str]) -> bool:
    """``Ignore.matches_or_parent_matches`` of one path."""
    return _once(path, patterns, Ignore.matches_or_parent_matches)


def _once(path: str, patterns: Iterable[str], match: Callable[[Ignore, str], bool]) -> bool:
    ignore = Ignore.of(patterns)
    path = clean(path)
    # Don't let a pattern exclude everything.
    return path != "." and match(ignore, path)


def _one_parent(pattern: Pattern, parents: list[str]) -> bool:
    depth = pattern.text.count("/") + 1
    return parents != [""] and depth <= len(parents) and pattern.match("/".join(parents[:depth]))


def _parents(path: str) -> list[str]:
    folder = posixpath.dirname(path)
    if not folder:
        return []
    parts = folder.split("/")
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def check_pattern(pattern: str) -> None:
    """Refuse what Go's ``filepath.Match`` calls a bad pattern: an open set or range, an escape at the end."""
    position, length = 0, len(pattern)
    while position < length:
        char = pattern[position]
        position += 1
        if char == "\\":
            if position == length:
                raise PatternError(_BAD)
            position += 1
        elif char == "[":
            position = _check_set(pattern, position)


def _check_set(pattern: str, position: int) -> int:
    if pattern.startswith("^", position):
        position += 1
    ranges = 0
    while True:
        if pattern.startswith("]", position) and ranges:
            return position + 1
        position = _set_character(pattern, position)
        if pattern.startswith("-", position):
            position = _set_character(pattern, position + 1)
        ranges += 1


def _set_character(pattern: str, position: int) -> int:
    """The position after one character of a set, which has to have more after it."""
    char = pattern[position : position + 1]
    if not char or char in "-]":
        raise PatternError(_BAD)
    if char == "\\":
        position += 1
        if position == len(pattern):
            raise PatternError(_BAD)
    position += 1
    if position == len(pattern):
        raise PatternError(_BAD)
    return position


def _compile(pattern: str) -> re.Pattern[str]:
    """The expression of a pattern, as moby writes it; the shapes that it compares as plain text are expressions too."""
    if not _is_wild(pattern):
        return re.compile(re.escape(pattern) + r"\Z")
    if pattern.endswith("**") and not _is_wild(pattern[:-2].rstrip("/")) and not pattern.startswith("**"):
        return re.compile(re.escape(pattern[:-2]))
    if pattern.startswith("**") and not _is_wild(pattern[2:]):
        tail = re.escape(pattern[2:])
        root = re.escape(pattern[3:]) if pattern[2:3] == "/" else tail
        return re.compile(rf"(?:.*{tail}|{root})\Z", re.DOTALL)
    try:
        return re.compile("".join(_pieces(pattern)) + r"\Z", re.ASCII)
    except re.error:
        raise PatternError(_BAD) from None


def _is_wild(pattern: str) -> bool:
    return any(char in pattern for char in "*?[]\\")


def _pieces(pattern: str) -> Iterable[str]:
    position, in_set = 0, False
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*" and pattern.startswith("*", position):
            position += 1
            if pattern.startswith("/", position):
                position += 1
            # "**" at the end takes everything, elsewhere any number of folders, none too.
            yield ".*" if position == len(pattern) else "(.*/)?"
        elif char in "*?":
            # In a set moby writes the same, and so ends the set.
            yield ("\\[" if in_set else "[") + ("^/]*" if char == "*" else "^/]")
            in_set = False
        elif char in _ESCAPED:
            yield f"\\{char}"
        elif char == "\\" and position < len(pattern):
            yield _escape(pattern[position])
            position += 1
        elif char == "[" and not in_set:
            in_set = True
            yield char
        elif char == "]":
            in_set = False
            yield char
        else:
            yield f"\\{char}" if char in _IN_SET else char


def _escape(char: str) -> str:
    """``\\`` and a character, which Go's expressions take for a class (``\\d``) if it is a letter."""
    if char.isascii() and not char.isalnum():
        return re.escape(char)
    if char in "aftnrvdDsSwWbBA":
        return f"\\{char}"
    if char == "z":
        return r"\Z"
    raise PatternError(_BAD)
