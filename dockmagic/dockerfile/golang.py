"""Small habits of Go that show in BuildKit's messages and in what it accepts: quoting, spaces, numbers, durations."""

from __future__ import annotations

import re

SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""What Go's ``unicode.IsSpace`` calls space; ``str.isspace`` has a few more."""

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES |= {"\\": "\\\\", '"': '\\"'}


def quote(text: str) -> str:
    """``strconv.Quote``: what ``%q`` prints."""
    return '"' + "".join(_quoted(char) for char in text) + '"'


def _quoted(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if char == " " or char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def parse_bool(text: str) -> bool | None:
    """``strconv.ParseBool``; None where it fails."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def parse_uint(text: str, base: int, bits: int = 32) -> int | None:
    """``strconv.ParseUint`` of base 8 or 10; None where it fails. No sign, no spaces, no underscores."""
    if not re.fullmatch("[0-7]+" if base == 8 else "[0-9]+", text) or len(text) > 400:
        return None
    value = int(text, base)
    return value if value < 1 << bits else None


_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")


def parse_duration(text: str) -> int:
    """``time.ParseDuration``: nanoseconds of ``1h2m3.5s``. ValueError has Go's message."""
    invalid = ValueError(f"time: invalid duration {quote(text)}")
    rest = text
    negative = rest.startswith("-")
    if rest[:1] in {"-", "+"}:
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise invalid
    total = 0
    while rest:
        match = _DURATION_PART.match(rest)
        assert match is not None, "every part of the expression may be empty"
        whole, fraction, unit = match.group(1), match.group(2) or "", match.group(3)
        if not whole and not fraction:
            raise invalid
        if not unit:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        if len(whole) > 19:
            raise invalid
        scale = _UNITS[unit]
        total += int(whole or "0") * scale
        fraction = fraction[:18]
        if fraction:
            total += int(fraction) * scale // 10 ** len(fraction)
        if total >= 1 << 63:
            raise invalid
        rest = rest[match.end() :]
    return -total if negative else total


_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?([kmgtp])?i?b?", re.IGNORECASE)


def parse_size(text: str) -> int | None:
    """go-units' ``RAMInBytes``: bytes of ``10``, ``64m``, ``1.5GiB``; None where it fails."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    power = " kmgtp".index((match.group(2) or " ").lower())
    return int(float(match.group(1)) * 1024**power)
