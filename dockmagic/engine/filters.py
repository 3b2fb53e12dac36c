"""The ``filters`` of listing calls: names are checked, labels and booleans matched as moby does."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from dockmagic.errors import InvalidParameter

Filters = Mapping[str, list[str]]


def check(filters: Filters, known: Collection[str]) -> None:
    """Raises InvalidParameter for a filter this call has not."""
    for name in filters:
        if name not in known:
            raise InvalidParameter(f"invalid filter '{name}'")


def labels_match(filters: Filters, labels: Mapping[str, str] | None, name: str = "label") -> bool:
    """Whether ``labels`` have every ``key`` or ``key=value`` asked for."""
    have = labels or {}
    for wanted in filters.get(name, ()):
        key, equals, value = wanted.partition("=")
        if key not in have or (equals and have[key] != value):
            return False
    return True


def excluded_by_label(filters: Filters, labels: Mapping[str, str] | None) -> bool:
    """Whether a ``label!`` filter names a label that is there."""
    return any(labels_match({"label": [wanted]}, labels) for wanted in filters.get("label!", ()))


def boolean(filters: Filters, name: str) -> bool | None:
    """A true/false filter; None when it is absent. Raises InvalidParameter."""
    values = filters.get(name)
    if not values:
        return None
    lowered = {value.lower() for value in values}
    if lowered <= {"1", "true"}:
        return True
    if lowered <= {"0", "false"}:
        return False
    raise InvalidParameter(f"invalid filter '{name}={values[0]}'")


def matches(filters: Filters, name: str, value: str) -> bool:
    """Whether ``value`` equals or contains (as a regular expression) one of the filter's values; True without it."""
    wanted = filters.get(name)
    if not wanted:
        return True
    return any(_search(pattern, value) for pattern in wanted)


def exact(filters: Filters, name: str, value: str) -> bool:
    """Whether ``value`` is one of the filter's values; True without it."""
    wanted = filters.get(name)
    return not wanted or value in wanted


def _search(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return pattern in value
