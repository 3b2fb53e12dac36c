"""Which of an index's images fits a platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from dockmagic.platforms import Platform

_Entry = TypeVar("_Entry", bound=Mapping[str, Any])


def choose(entries: Sequence[_Entry], wanted: Platform) -> _Entry | None:
    """The index entry that fits ``wanted`` best; None when none does.

    Entries without a platform, and attestations (``unknown/unknown``), are no images for a platform.
    """
    by_platform: dict[Platform, _Entry] = {}
    for entry in entries:
        fields = entry.get("platform")
        if isinstance(fields, Mapping):
            by_platform.setdefault(Platform.of(fields), entry)
    for candidate in wanted.runs():
        if candidate in by_platform:
            return by_platform[candidate]
    return None
