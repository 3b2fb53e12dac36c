"""``.dockerignore`` files; the matching itself is held to moby's cases."""

from __future__ import annotations

import pytest

from dockmagic.dockerfile import Ignore, PatternError, read_ignore_file


def test_reading_a_file() -> None:
    text = "\ufeff# comment\n\n  /build/ \n!  /build/keep\n#x\n ./a/../b \n/\n!\n**/*.pyc\r\n"
    assert read_ignore_file(text) == ["build", "!build/keep", "b", "/", "!", "**/*.pyc"]


def test_a_folder_takes_what_is_in_it_unless_it_is_taken_back() -> None:
    ignore = Ignore.of_file("node_modules\n*.log\n!important.log\n")
    assert ignore.matches_or_parent_matches("node_modules/a/b.js")
    assert ignore.matches_or_parent_matches("x.log")
    assert not ignore.matches_or_parent_matches("important.log")
    assert not ignore.matches_or_parent_matches("src/x.log")
    assert ignore.exclusions


def test_walking_gives_the_same_as_asking() -> None:
    ignore = Ignore.of(["a/**", "!a/b", "a/b/c*", "**/d"])
    for path in ("a", "a/x", "a/b", "a/b/c1", "a/b/c1/y", "a/b/e", "z/d/f"):
        parent: list[bool] = []
        parts = path.split("/")
        for depth in range(len(parts)):
            matched, parent = ignore.matches_in("/".join(parts[: depth + 1]), parent)
        assert matched == ignore.matches_or_parent_matches(path), path


@pytest.mark.parametrize("pattern", ["[", "a[b", "[]a]", "[a-]", "\\"])
def test_bad_patterns(pattern: str) -> None:
    with pytest.raises(PatternError, match="syntax error in pattern"):
        Ignore.of([pattern])


def test_an_exclusion_of_nothing() -> None:
    with pytest.raises(PatternError) as caught:
        Ignore.of_file("!\n")
    assert str(caught.value) == 'illegal exclusion pattern: "!"'


@pytest.mark.parametrize(
    ("pattern", "path", "matched"),
    [
        ("foo*", "foobar", True),
        ("foo*", "foo/bar", False),
        ("**/foo", "a/b/foo", True),
        ("foo/**", "foo", False),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("a.b", "axb", False),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("日本*", "日本語", True),
    ],
)
def test_patterns(pattern: str, path: str, matched: bool) -> None:
    assert Ignore.of([pattern]).patterns[0].match(path) is matched
