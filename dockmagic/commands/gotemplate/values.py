"""Values as Go sees and prints them (fmt's %v), made of JSON's."""

from __future__ import annotations

import json
from typing import Any


class NoValue:
    """What a missing key of a map is: ``<no value>``."""

    def __bool__(self) -> bool:
        return False


NO_VALUE = NoValue()


def show(value: Any, *, inside: bool = False) -> str:
    """``%v``: maps as ``map[a:b]``, lists as ``[a b]``, nil as ``<nil>``."""
    if value is NO_VALUE:
        return "<no value>"
    if value is None:
        return "<nil>" if inside else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value == int(value) and abs(value) < 1e21:
            return str(int(value)) if abs(value) < 1e21 and len(str(int(abs(value)))) < 7 else _exponent(value)
        return repr(value)
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{show(value[k], inside=True)}" for k in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(v, inside=True) for v in value) + "]"
    return str(value)


def _exponent(value: float) -> str:
    """Go's %v of a float64 of 1e21 or less but more than a million: 1.983948e+06, the shortest digits that tell it."""
    exponent = int(f"{value:e}".partition("e")[2])
    digits = repr(value).replace(".", "").lstrip("-0").rstrip("0") or "0"
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[0]}{'.' + digits[1:] if len(digits) > 1 else ''}e{exponent:+03d}"


def truth(value: Any) -> bool:
    """Go templates' truth: empty and zero are false."""
    return value is not NO_VALUE and value is not None and value not in (False, 0, "", [], {})


def go_json(value: Any, indent: int | None = None) -> str:
    """encoding/json's text: sorted keys of maps are the caller's matter; <, > and & are escaped."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, separators=separators, indent=indent, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
