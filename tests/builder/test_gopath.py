"""Wildcards and paths as Go's filepath has them; the cases are of Go's own match_test.go and path_test.go."""

from __future__ import annotations

import pytest

from dockmagic.builder import gopath

MATCHES = [
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "ab/c", False),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("[a-ζ]*", "α", True),
    ("*[a-ζ]", "A", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    ("[\\]a]", "]", True),
    ("[\\-]", "-", True),
    ("[x\\-]", "x", True),
    ("[\\-x]", "-", True),
    ("[]a]", "]", False),
    ("[-]", "-", False),
    ("[x-]", "x", False),
    ("[a-b-c]", "a", False),
    ("[", "a", False),
    ("a[", "a", False),
    ("*x", "xxx", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_match(pattern: str, path: str, expected: bool) -> None:
    assert gopath.match(pattern, path) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("sub/*/dir2/foo", ("sub", "*/dir2/foo")),
        ("*.go", ("", "*.go")),
        ("/etc/pass*", ("/etc", "pass*")),
        ("/pass*", ("/", "pass*")),
        ("plain/path", ("plain/path", "")),
        ("a\\*b/c", ("a\\*b/c", "")),
    ],
)
def test_split_wildcards(path: str, expected: tuple[str, str]) -> None:
    assert gopath.split_wildcards(path) == expected


@pytest.mark.parametrize(
    ("base", "path", "keep", "expected"),
    [
        ("/app", "x", True, "/app/x"),
        ("/app", "x/", True, "/app/x/"),
        ("/app", "./", True, "/app/"),
        ("/app", "/x/.", True, "/x/"),
        ("/app", "..", True, "/"),
        ("/", "./", True, "/"),
        ("/", "../../etc", False, "/etc"),
        ("/", "//a//b/", False, "/a/b"),
    ],
)
def test_normalize(base: str, path: str, keep: bool, expected: str) -> None:
    assert gopath.normalize(base, path, keep_slash=keep) == expected
