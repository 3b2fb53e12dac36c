"""Git references, ports, suggestions, and Go's habits."""

from __future__ import annotations

import pytest

from dockmagic.dockerfile import (
    DockerfileError,
    GitReferenceError,
    nearest,
    parse_git_reference,
    parse_ports,
    with_suggestion,
)
from dockmagic.dockerfile.golang import parse_duration, parse_size, quote
from dockmagic.dockerfile.lint.references import is_reference
from dockmagic.dockerfile.ports import Oddity
from dockmagic.dockerfile.suggest import distance


def test_a_git_reference_is_told_from_a_path() -> None:
    assert parse_git_reference("src") is None
    assert parse_git_reference("https://example.com/file.tar") is None
    reference = parse_git_reference("https://example.com/repo.git##ref=main,subdir=docs,commit=abc")
    assert reference is not None
    assert (reference.ref, reference.subdir, reference.checksum) == ("main", "docs", "abc")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("https://a/b.git?ref", 'query "ref" has no value'),
        ("https://a/b.git?ref=1&ref=2", 'query "ref" has multiple values'),
        ("https://a/b.git?subdir=x#y:z", 'subdir conflicts: "z" vs "x"'),
        ("https://a/b.git?keep-git-dir=maybe", 'invalid keep-git-dir value: "maybe"'),
        (
            "https://a/b.git##what=1",
            "failed to parse URL fragment \"#what=1\": unexpected key 'what' in 'what=1' "
            "(supported keys: ref, commit, subdir)",
        ),
    ],
)
def test_git_references_with_bad_options(source: str, message: str) -> None:
    with pytest.raises(GitReferenceError) as caught:
        parse_git_reference(source)
    assert str(caught.value) == message


def test_ports() -> None:
    odd: list[tuple[Oddity, str]] = []
    ports = parse_ports(["80", "443/TCP", "8000-8002/udp", "1.2.3.4:90:91"], lambda *what: odd.append(what))
    assert ports == ["80/tcp", "443/tcp", "8000/udp", "8001/udp", "8002/udp", "91/tcp"]
    assert odd == [(Oddity.PROTOCOL_CASE, "443/TCP"), (Oddity.MAPPING, "1.2.3.4:90:91")]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/tcp", 'invalid port: "/tcp": no port specified'),
        ("80/xyz", 'invalid port: "80/xyz": invalid proto: xyz'),
        ("99999", "invalid containerPort: 99999"),
        ("9-8", "invalid containerPort: 9-8"),
        ("x:80", "invalid hostPort: x"),
        ("1-3:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-3"),
        ("nowhere:80:80", "invalid IP address: nowhere"),
    ],
)
def test_bad_ports(spec: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_ports([spec])
    assert str(caught.value) == message


def test_suggestions() -> None:
    assert distance("kitten", "sitting") == 3
    assert nearest("mont", ["mount", "network"]) == "mount"
    assert nearest("mount", ["mount"]) is None
    assert nearest("nothing", ["like", "it"]) is None
    assert nearest("RUNN", ["RUN"], case_sensitive=False) == "RUN"
    assert nearest("runn", ["RUN"], case_sensitive=False) == "run"
    assert with_suggestion("no", "ab", ["ac", "aa"]) == "no (did you mean aa?)"


def test_quoting() -> None:
    assert quote('a"b\\\n\x01é\u200b\U000e0001') == '"a\\"b\\\\\\n\\x01é\\u200b\\U000e0001"'


def test_durations_and_sizes() -> None:
    assert [parse_duration(text) for text in ("0", "1h", "-1.5s", "+2us", ".5ms")] == [
        0,
        3_600_000_000_000,
        -1_500_000_000,
        2_000,
        500_000,
    ]
    assert [parse_size(text) for text in ("10", "1k", "1.5 MiB", "2gb", "x")] == [10, 1024, 1572864, 2 << 30, None]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("alpine", True),
        ("alpine:3.20@sha256:" + "0" * 64, True),
        ("localhost:5000/a/b", True),
        ("UPPER/case", True),
        ("UPPER", False),
        ("busybox:", False),
        ("", False),
        ("a" * 64, False),
        ("a/UPPER", False),
    ],
)
def test_what_may_name_an_image(text: str, valid: bool) -> None:
    assert is_reference(text) is valid
