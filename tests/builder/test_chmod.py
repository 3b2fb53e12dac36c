"""--chmod, octal and symbolic."""

from __future__ import annotations

import stat

import pytest

from dockmagic.builder.chmod import Mode
from dockmagic.errors import InvalidParameter

FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("644", FILE | 0o777, 0o644),
        ("0", FILE | 0o777, 0),
        ("7777", FILE, 0o7777),
        ("go-w", FILE | 0o666, 0o644),
        ("u=rw,g=r,o=r", FILE | 0o777, 0o644),
        ("a+X", FILE | 0o666, 0o666),
        ("a+X", FILE | 0o766, 0o777),
        ("go-w", FOLDER | 0o124, 0o104),
        ("u+rw,g+r,o-x,o+w", FOLDER | 0o124, 0o766),
        ("a+X", FOLDER | 0o124, 0o135),
        ("+x", FILE | 0o644, 0o755),
        ("u+s", FILE | 0o755, 0o4755),
        ("g=u", FILE | 0o741, 0o771),
        ("a=", FILE | 0o777, 0),
        ("u=rwx,go=", FOLDER | 0o755, 0o700),
        ("u-x+w", FILE | 0o555, 0o655),
        ("+t", FOLDER | 0o755, 0o1755),
    ],
)
def test_apply(text: str, before: int, after: int) -> None:
    assert oct(Mode.parse(text).apply(before)) == oct(after)


@pytest.mark.parametrize("text", ["64a", "10000", "8", "foo", "u+q", "u", ""])
def test_invalid(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid chmod parameter: "):
        Mode.parse(text)
