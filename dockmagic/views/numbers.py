"""Sizes and times in a few characters, as docker shows them."""

from __future__ import annotations


def size(count: float) -> str:
    """``12.3MB``."""
    names = ["B", "kB", "MB", "GB", "TB", "PB"]
    index, value = 0, float(count)
    while value >= 1000.0 and index < len(names) - 1:
        value /= 1000.0
        index += 1
    return f"{value:.3g}{names[index]}"


def seconds(value: float) -> str:
    """``0.3 s``, ``2 min 5 s``."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def bar(share: float, width: int = 10) -> str:
    """``####······`` of ``width`` characters for a share of 0 to 1; anything above nothing shows."""
    filled = min(width, max(round(share * width), 1 if share > 0 else 0))
    return "#" * filled + "·" * (width - filled)


def cut(text: str, width: int) -> str:
    """At most ``width`` characters, the last an ellipsis when there were more."""
    return text if len(text) <= width else text[: width - 1] + "…"
