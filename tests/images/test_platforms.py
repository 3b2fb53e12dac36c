"""Platforms as people write them, as images have them."""

from __future__ import annotations

import pytest

from dockmagic.errors import InvalidParameter
from dockmagic.platforms import Platform

AMD64 = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", AMD64),
        ("Linux/x86_64", AMD64),
        ("linux/amd64/v1", AMD64),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        ("linux/aarch64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/arm/6", Platform("linux", "arm", "v6")),
        ("arm64", Platform("linux", "arm64")),
        ("s390x", Platform("linux", "s390x")),
        ("linux", AMD64),
        ("darwin/ppc64le", Platform("darwin", "ppc64le")),
        ("windows(10.0.20348.1006)/amd64", Platform("windows", "amd64", "", "10.0.20348.1006")),
    ],
)
def test_platforms_are_read_and_normalized(text: str, normal: Platform) -> None:
    assert Platform.parse(text, AMD64) == normal
    assert Platform.parse(str(normal)) == normal


@pytest.mark.parametrize("text", ["", "linux/", "linux/*", "what", "a/b/c/d", "li nux/amd64", "linux//v7", "linux/a b"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid argument"):
        Platform.parse(text)


def test_what_else_a_machine_runs() -> None:
    assert [str(p) for p in Platform("linux", "arm64").runs()] == [
        "linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5",
    ]  # fmt: skip
    assert AMD64.matches(Platform("linux", "386"))
    assert not AMD64.matches(Platform("linux", "arm64"))
