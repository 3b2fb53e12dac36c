"""Signals by name or number."""

from __future__ import annotations

import signal

from dockmagic.errors import InvalidParameter


def parse(text: str) -> int:
    """The number of ``SIGTERM``, ``term``, ``15``, ``SIGRTMIN+3``. Raises InvalidParameter."""
    name = text.strip().upper()
    if name.isdecimal():
        number = int(name)
        if 0 < number < signal.NSIG:
            return number
        raise InvalidParameter(f"invalid signal: {text}")
    name = name.removeprefix("SIG")
    base, plus, offset = name.partition("+")
    if base in {"RTMIN", "RTMAX"} or name.startswith("RTMAX-"):
        start = signal.SIGRTMIN if base == "RTMIN" else signal.SIGRTMAX
        distance = int(offset) if plus and offset.isdecimal() else -int(name[6:]) if name[6:].isdecimal() else 0
        return int(start) + distance
    found = getattr(signal, f"SIG{name}", None)
    if not isinstance(found, signal.Signals):
        raise InvalidParameter(f"invalid signal: {text}")
    return int(found)
