"""What a terminal leaves as text."""

from __future__ import annotations

import pytest

from dockmagic.notebook.transcript import MOST_LINES, Transcript


def left(*data: bytes, columns: int = 20, rows: int = 5) -> str:
    made = Transcript(columns, rows)
    for piece in data:
        made.feed(piece)
    return made.text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"one\r\ntwo\r\n", "one\ntwo"),
        (b"wrong\b\b\b\b\bright", "right"),
        (b"50%\r100%\r\n", "100%"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07text", "red text"),
        (b"abcdef\x1b[3D\x1b[K!", "abc!"),
        (b"one\r\ntwo\x1b[A\rONE", "ONE\ntwo"),
        (b"abc\x1b[2D\x1b[P\x1b[@-", "a-c"),
        (b"/ # \x1b[6n\x1b[Jls", "/ # ls"),
        (b"before\r\n\x1b[?1049hfull screen\x1b[?1049l after", "before\n after"),
        (b"kept\r\n\x1b[H\x1b[2Jnew", "kept\nnew"),
        (b"a\tb", "a       b"),
        (b"x" * 25 + b"\r\ny", "x" * 25 + "\ny"),
        ("한국어\r\n".encode() + b"e\xcc\x81", "한국어\ne\u0301"),
    ],
)
def test_what_is_left(data: bytes, text: str) -> None:
    assert left(data) == text


def test_sequences_may_come_in_pieces() -> None:
    whole = "한 \x1b[1;31mred\x1b[0m\x1b]0;title\x1b\\ done".encode()
    assert left(*(bytes([b]) for b in whole)) == "한 red done"


def test_a_flood_keeps_its_end() -> None:
    text = left(b"".join(b"%d\r\n" % i for i in range(MOST_LINES * 3)))
    assert text.endswith(f"\n{MOST_LINES * 3 - 1}")
    first, second = text.split("\n")[:2]
    assert first == f"… {second} earlier lines are left out"


@pytest.mark.parametrize(
    "hostile", [b"\x1b[999999999B", b"\x1b[999999999@x", b"\x1b[H\x1b[2J" * 500, b"\x1b[" + b"1;" * 5000 + b"m"]
)
def test_hostile_sequences_take_no_memory(hostile: bytes) -> None:
    assert len(left(hostile, b"end")) < 10_000
