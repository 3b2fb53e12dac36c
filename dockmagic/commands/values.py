"""Values as people write them on docker's command line and as docker shows them: sizes, durations, times."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_BINARY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False"}:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_int(text: str) -> int:
    """A whole number; the message is Go's."""
    if not re.fullmatch(r"[+-]?\d+", text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def parse_bytes(text: str) -> int:
    """``64m``, ``1.5g``, ``-1``: bytes, in powers of 1024 (docker/go-units RAMInBytes)."""
    if text == "-1":
        return -1
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", text.lower())
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    return int(float(match[1]) * _BINARY[match[2]])


def parse_duration(text: str) -> float:
    """Go's ``1h2m3.5s`` in seconds."""
    if text == "0":
        return 0.0
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+", text):
        raise ValueError(f'time: invalid duration "{text}"')
    total = sum(float(n) * _UNITS[u] for n, _, u in re.findall(r"(\d+(\.\d*)?)(ns|us|µs|ms|s|m|h)", text))
    return -total if text.startswith("-") else total


def parse_nano_cpus(text: str) -> int:
    """``--cpus 1.5`` in billionths of a CPU."""
    try:
        return round(float(text) * 1e9)
    except ValueError:
        raise ValueError(f"failed to parse {text} as a rational number") from None


def parse_when(text: str, now: datetime | None = None) -> str:
    """``--since``: seconds since the epoch as the API wants them, of a date, a Unix time or ``10m`` ago."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return text
    current = now or datetime.now(timezone.utc)
    try:
        return f"{current.timestamp() - parse_duration(text):.9f}"
    except ValueError:
        pass
    try:
        moment = parse_time(text if "T" in text or len(text) > 10 else f"{text}T00:00:00")
    except ValueError:
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None
    return f"{moment.timestamp():.9f}"


def parse_time(text: str) -> datetime:
    """An RFC 3339 time, with up to nine digits of a second. Without a zone it is local."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?", text)
    if match is None:
        raise ValueError(f"not a time: {text}")
    whole = datetime.fromisoformat(match[1])
    micro = int((match[2] or "0").ljust(9, "0")[:6])
    if match[3] in (None, ""):
        return whole.replace(microsecond=micro).astimezone()
    if match[3] == "Z":
        return whole.replace(microsecond=micro, tzinfo=timezone.utc)
    zone = datetime.strptime(match[3], "%z").tzinfo
    return whole.replace(microsecond=micro, tzinfo=zone)


def units_size(count: float, base: float = 1000.0, digits: int = 4) -> str:
    """``12.3MB``: docker's short form of a number of bytes (docker/go-units HumanSizeWithPrecision)."""
    names = ["B", "kB", "MB", "GB", "TB", "PB"] if base == 1000.0 else ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    index = 0
    value = float(count)
    while value >= base and index < len(names) - 1:
        value /= base
        index += 1
    return f"{value:.{digits}g}{names[index]}"


def size3(count: float) -> str:
    """``12.3MB``, three digits: sizes of images, containers, layers."""
    return units_size(count, digits=3)


def ago(seconds: float) -> str:
    """``5 minutes``: docker's words for a length of time (docker/go-units HumanDuration)."""
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600 / 24 / 365)} years"


def since(moment: float, now: float) -> str:
    """``5 minutes ago``."""
    return f"{ago(max(now - moment, 0))} ago"


def local_time(seconds: float) -> str:
    """``2026-11-24 14:46:19 +0000 UTC``: Go's time.String of local time."""
    moment = datetime.fromtimestamp(seconds).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S %z} {moment.tzname()}"


def shorten(text: str, width: int) -> str:
    """At most ``width`` characters, the last an ellipsis when there were more (docker CLI, formatter.Ellipsis)."""
    return text if len(text) <= width else text[: width - 1] + "…"


def short_id(identity: str) -> str:
    """The first twelve digits of an id, with or without ``sha256:`` before it."""
    return identity.removeprefix("sha256:")[:12]
