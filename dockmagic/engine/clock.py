"""Times as Docker writes them: RFC 3339 with nanoseconds, and "3 minutes ago"."""

from __future__ import annotations

import re
import time

from dockmagic.errors import InvalidParameter

ZERO = "0001-01-01T00:00:00Z"
"""Go's zero time: never."""

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?(?:([Zz])|([+-])(\d\d):?(\d\d))?"
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def now() -> str:
    """This moment in UTC, ``2026-11-24T15:00:00.123456789Z``."""
    return rfc3339(time.time_ns())


def rfc3339(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, without the fraction's trailing zeros (Go's RFC3339Nano)."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def parse(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time (0 for Go's zero time). Raises ValueError."""
    if text.startswith("0001-"):
        return 0
    match = _RFC3339.fullmatch(text)
    if not match:
        raise ValueError(f"not a time: {text}")
    year, month, day, hour, minute = (int(part) for part in match.groups()[:5])
    seconds = (_days(year, month, day) * 24 + hour) * 3600 + minute * 60 + int(match[6] or 0)
    if match[9]:
        offset = int(match[10]) * 3600 + int(match[11]) * 60
        seconds -= offset if match[9] == "+" else -offset
    return seconds * 10**9 + int((match[7] or "").ljust(9, "0"))


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar. (``calendar`` says so too, but imports half of datetime.)"""
    year, month = (year - 1, month + 9) if month < 3 else (year, month - 3)  # years that begin in March
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469


def parse_moment(text: str, parameter: str) -> int:
    """A ``since``/``until`` parameter: seconds since the epoch (with a fraction), RFC 3339, or a duration ago.

    Nanoseconds since the epoch; 0 for none. Raises InvalidParameter.
    """
    if not text or text == "0":
        return 0
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0") or 0)
    try:
        return time.time_ns() - parse_duration(text)
    except ValueError:
        pass
    try:
        return parse(text if "T" in text or " " in text else f"{text}T00:00:00")
    except ValueError:
        raise InvalidParameter(f'invalid value for "{parameter}": failed to parse value as time or duration') from None


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration, ``1h30m``. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"time: invalid duration {text!r}")
    return sum(int(float(number) * _UNITS[unit]) for number, unit in parts)


def human(seconds: float) -> str:
    """A span in docker's words, ``3 minutes`` (go-units, duration.go)."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    spans = ((48, 1, "hours"), (24 * 7 * 2, 24, "days"), (24 * 30 * 2, 24 * 7, "weeks"), (24 * 365 * 2, 720, "months"))
    for limit, size, word in spans:
        if hours < limit:
            return f"{hours // size} {word}"
    return f"{int(seconds / 3600) // 24 // 365} years"
