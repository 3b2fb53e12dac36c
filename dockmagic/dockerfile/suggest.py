"""The nearest of some names by edit distance, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

_FARTHEST = 3
"""A suggestion has to be nearer than this many edits (BuildKit's ``util/suggest``)."""


def distance(left: str, right: str) -> int:
    """Levenshtein's edit distance."""
    previous = list(range(len(right) + 1))
    for row, left_char in enumerate(left, 1):
        current = [row]
        for column, right_char in enumerate(right, 1):
            change = previous[column - 1] + (left_char != right_char)
            current.append(min(change, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]


def nearest(name: str, options: Iterable[str], *, case_sensitive: bool = True) -> str | None:
    """The option that ``name`` may have meant; None if none is near, or if ``name`` is one of them.

    Of equally near ones the first in alphabetical order (BuildKit's choice among them is random). Without
    ``case_sensitive`` the answer has the case of ``name``.
    """
    if not case_sensitive:
        options = [option.lower() for option in options]
    wanted = name if case_sensitive else name.lower()
    best, best_distance = None, _FARTHEST
    for option in sorted(options):
        if option == wanted:
            return None
        if abs(len(option) - len(wanted)) < best_distance and (edits := distance(wanted, option)) < best_distance:
            best, best_distance = option, edits
    if best is not None and not case_sensitive and name == name.upper() != name.lower():
        return best.upper()
    return best


def with_suggestion(message: str, name: str, options: Iterable[str], *, case_sensitive: bool = True) -> str:
    """The message, with ``(did you mean …?)`` if an option is near ``name``."""
    match = nearest(name, options, case_sensitive=case_sensitive)
    return f"{message} (did you mean {match}?)" if match else message
