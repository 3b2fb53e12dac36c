"""Heredocs: ``<<EOF``, ``3<<-"EOF"``: finding them in a line, and their bodies' tabs."""

from __future__ import annotations

import re

from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.shell import Lexer
from dockmagic.dockerfile.tree import Heredoc

_WORD = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_LINE = Lexer(raw_quotes=True, raw_escapes=True, skip_unset=True)
_PLAIN = Lexer(skip_unset=True)
_QUOTED = Lexer(raw_quotes=True, skip_unset=True)


def parse_heredoc(word: str) -> Heredoc | None:
    """The heredoc that a word announces, or None. ExpansionError if its name has an open quote.

    Whether the name is quoted, so that the body is not expanded, shows in reading it with its quotes and without.
    """
    match = _WORD.fullmatch(word)
    if match is None or not match.group(3):
        return None
    descriptor, chomp, name = match.groups()
    words = _PLAIN.words(name, {})
    if len(words) != 1:
        return None
    quoted = _QUOTED.words(name, {})
    if len(quoted) != 1:
        raise DockerfileError(f"internal lexing of heredoc produced inconsistent results: {name}")
    return Heredoc(
        words[0],
        descriptor=min(int(descriptor[:20] or "0"), (1 << 64) - 1),
        expand=_quotes(words[0]) == _quotes(quoted[0]),
        chomp=bool(chomp),
    )


def find_heredoc(word: str) -> Heredoc | None:
    """Like ``parse_heredoc``, but a bad name is no heredoc."""
    if "<<" not in word:
        return None
    try:
        return parse_heredoc(word)
    except DockerfileError:
        return None


def heredocs_in_line(line: str) -> list[Heredoc]:
    """The heredocs that a line announces, in order, without their bodies."""
    try:
        words = _LINE.words(line, {})
    except DockerfileError:
        return []
    return [heredoc for heredoc in map(parse_heredoc, words) if heredoc]


def chomp(content: str) -> str:
    """The body without the tabs that its lines begin with."""
    return _LEADING_TABS.sub("", content)


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
