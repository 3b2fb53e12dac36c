"""Whether a text may be an image's name: distribution's grammar, for checks only (images/ has the references)."""

from __future__ import annotations

import re

_ALNUM = "[a-z0-9]+"
_PATH_PART = rf"{_ALNUM}(?:(?:\.|_|__|-+){_ALNUM})*"
_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:{_HOST}/)?{_PATH_PART}(?:/{_PATH_PART})*(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_LONGEST_NAME = 255


def is_reference(text: str) -> bool:
    """Whether ``FROM text`` can name an image: ``alpine``, ``host:5000/name:tag@sha256:…``."""
    if _IDENTIFIER.fullmatch(text) or not _REFERENCE.fullmatch(text):
        return False
    first, slash, rest = text.partition("/")
    is_host = slash and (any(char in first for char in ".:[") or first == "localhost" or first != first.lower())
    path = rest if is_host else text
    name = path.partition("@")[0].partition(":")[0]
    return name == name.lower() and len(name) <= _LONGEST_NAME
