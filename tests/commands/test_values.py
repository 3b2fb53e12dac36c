"""Sizes, durations and times as docker writes them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from dockmagic.commands import values


@pytest.mark.parametrize(
    ("text", "count"), [("64m", 64 << 20), ("1.5g", 3 << 29), ("10", 10), ("1KiB", 1024), ("2kb", 2048), ("-1", -1)]
)
def test_sizes_are_read(text: str, count: int) -> None:
    assert values.parse_bytes(text) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (999, "999B"), (1983948, "1.98MB"), (125_600_000, "126MB"), (1e9, "1GB"), (1500, "1.5kB")],
)
def test_sizes_are_written(count: float, text: str) -> None:
    assert values.size3(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (61, "About a minute"), (150, "2 minutes"),
        (3600, "About an hour"), (7200, "2 hours"), (49 * 3600, "2 days"), (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_lengths_of_time_are_written(seconds: float, text: str) -> None:
    assert values.ago(seconds) == text


def test_durations_are_read() -> None:
    assert values.parse_duration("1h2m3.5s") == 3723.5
    assert values.parse_duration("250ms") == 0.25
    with pytest.raises(ValueError, match="invalid duration"):
        values.parse_duration("soon")


def test_moments_are_read() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert float(values.parse_when("10m", now)) == now.timestamp() - 600
    assert float(values.parse_when("2026-01-01T00:00:00Z")) == now.timestamp()
    assert values.parse_when("1700000000.5") == "1700000000.5"
    with pytest.raises(ValueError, match="failed to parse value as time or duration"):
        values.parse_when("whenever")


def test_nanoseconds_of_the_api_are_read() -> None:
    assert values.parse_time("2026-11-24T14:46:19.890763624Z").microsecond == 890763


def test_long_text_ends_in_an_ellipsis() -> None:
    assert values.shorten("0123456789", 5) == "0123…"
    assert values.shorten("01234", 5) == "01234"
