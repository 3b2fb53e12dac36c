"""A magic's line as words: quoting as in a shell, nothing expanded but ``@{expression}``, Python's values.

    %docker run -e TOKEN=@{token} alpine echo "two words" '$HOME stays' @{numbers}

``@{…}`` holds any Python expression. Its value is one word, or part of one, whatever is in it; a list or tuple that is
a whole word becomes several words. ``@@{`` is ``@{`` itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

_HOLE = "\ue000{}\ue001"
_OPEN, _CLOSE = "\ue000", "\ue001"


class WordsError(ValueError):
    """The line has an open quote or brace, or an expression fails."""


def split(line: str, names: Mapping[str, Any] | None = None) -> list[str]:
    """The words of ``line``, expressions evaluated in ``names``. Raises WordsError.

    A shell's operators (``|``, ``>``, ``&&``) as words of their own are refused: a line that has them was meant for a
    shell, and would do something else than it says.
    """
    text, expressions = _holes(line)
    try:
        words = shlex.split(text, posix=True)
    except ValueError as error:
        raise WordsError(f"{str(error).lower()}: {line}") from None
    for operator in _operators(text):
        raise WordsError(f"no shell reads this line, so {operator} means nothing here: quote it, or run sh -c '…'")
    values = [_evaluate(e, names or {}) for e in expressions]
    out: list[str] = []
    for word in words:
        out += _fill(word, values)
    return out


OPERATORS = frozenset(["|", "||", "&&", "&", ">", ">>", "<", "2>", "2>&1", "&>"])


def _operators(text: str) -> list[str]:
    """What a shell would act on: an operator that stands alone and is not quoted."""
    return [word for word in shlex.split(text, posix=False) if word in OPERATORS]


def _holes(line: str) -> tuple[str, list[str]]:
    """The line with each ``@{…}`` replaced by a marker, and the expressions."""
    parts: list[str] = []
    expressions: list[str] = []
    at = 0
    while True:
        start = line.find("@{", at)
        if start < 0:
            return "".join([*parts, line[at:]]), expressions
        if start > 0 and line[start - 1] == "@":
            parts.append(line[at : start - 1] + "@{")
            at = start + 2
            continue
        stop = _closing(line, start + 2)
        parts.append(line[at:start] + _HOLE.format(len(expressions)))
        expressions.append(line[start + 2 : stop])
        at = stop + 1


def _closing(line: str, at: int) -> int:
    """Where the brace opened before ``at`` closes: the first place at which what is inside is an expression."""
    first = stop = line.find("}", at)
    while stop >= 0:
        try:
            compile(line[at:stop].strip(), "@{}", "eval")
        except SyntaxError:
            stop = line.find("}", stop + 1)
        else:
            return stop
    if first >= 0:
        raise WordsError(f"no Python expression: @{{{line[at:first]}}}")
    raise WordsError(f"@{{ without its }}: {line}")


def _evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    try:
        return eval(compile(expression.strip(), "@{}", "eval"), dict(names))
    except Exception as error:  # whatever the user's expression raises is what went wrong
        raise WordsError(f"@{{{expression}}}: {type(error).__name__}: {error}") from None


def _fill(word: str, values: list[Any]) -> list[str]:
    if _OPEN not in word:
        return [word]
    if word.startswith(_OPEN) and word.find(_CLOSE) == len(word) - 1:
        value = values[int(word[1:-1])]
        if isinstance(value, list | tuple):
            return [str(v) for v in value]
    for index, value in enumerate(values):
        word = word.replace(_HOLE.format(index), str(value))
    return [word]
