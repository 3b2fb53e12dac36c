"""What holds for any text: only the room's own errors, and printing that parses to the same tree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dockmagic.dockerfile import (
    Directive,
    DockerfileError,
    Ignore,
    Lexer,
    Node,
    check,
    instructions,
    parse,
    parse_git_reference,
    recover_instructions,
    render,
    tokens,
)
from dockmagic.dockerfile.arguments import KEYWORDS

WORDS = [*(keyword.upper() for keyword in KEYWORDS), "run", "NOPE"]
PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(
        [
            *" \t\n\r\f\v\\`#\"'[]{}$<>=-,:/!*?.|&;\x85\xa0\ufeff\x00é",
            *("\n", "\\\n", "`\n", " \\ \n", "\r\n", "<<EOF", "\nEOF\n", "<<-'A B'", "--from=", "--mount=type=cache,"),
            *("${A:-b}", "$A", '["a", "b"]', "[1]", "AS", "a=b", "# escape=`\n", "# check=skip=all\n", "#\n", "alpine"),
        ]
    ),
    st.text(max_size=4),
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def shape(node: Node) -> Node:
    """The node without its lines."""
    child = shape(node.child) if node.child else None
    return dataclasses.replace(node, start_line=0, end_line=0, child=child)


def tree_of(text: str) -> tuple[str, list[Directive], list[Node]]:
    """What printing has to keep."""
    tree = parse(text)
    return tree.escape, tree.directives, [shape(node) for node in tree.nodes]


@given(TEXTS)
@settings(max_examples=400, deadline=None)
@example("FROM a\nRUN <<EOF\n")
@example("HEALTHCHECK --retries=" + "9" * 5000 + " CMD a")
@example("CMD [" + "[" * 100_000)
@example("CMD [" + "1" * 5000 + "]")
def test_no_text_raises_anything_but_the_rooms_errors(text: str) -> None:
    try:
        instructions(parse(text))
    except DockerfileError as error:
        assert str(error)
        assert error.range is not None


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_recovering_raises_nothing(text: str) -> None:
    tree = parse(text, recover=True)
    recover_instructions(tree)
    lines = text.removeprefix("\ufeff").split("\n")
    for node in tree.nodes:
        for token in tokens(node, tree.escape):
            start, end = token.range
            assert node.range.start <= start <= end
            assert start.column <= len(lines[start.line - 1])
            assert end.column <= len(lines[end.line - 1])


@given(TEXTS)
@settings(max_examples=400, deadline=None)
@example("\\\n  FROM a")
@example("FROM a\nRUN b\\ \\")
@example("\n# escape=`\nFROM a")
@example("\ufeff\ufeffFROM a")
@example("# check=skip=all\n# hello\nFROM a")
@example("\\\n   \\\n\\")
def test_printing_keeps_the_tree(text: str) -> None:
    try:
        expected = tree_of(text)
    except DockerfileError:
        return
    assert tree_of(render(parse(text))) == expected


def test_printing_keeps_every_case_of_the_corpus(cases: Callable[[str], list[Any]]) -> None:
    for case in cases("parse_corpus.json"):
        try:
            tree = parse(case["dockerfile"])
        except DockerfileError:
            continue
        assert tree_of(render(tree)) == tree_of(case["dockerfile"]), case["id"]


@given(TEXTS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_checks_raise_nothing(text: str, recover: bool) -> None:
    report = check(text, recover=recover)
    assert (report.error is None) == (not report.errors)
    assert all(warning.line for warning in report.warnings)


@given(st.text(max_size=30), st.dictionaries(st.sampled_from(["A", "b", "_"]), st.text(max_size=5)))
@settings(max_examples=300, deadline=None)
def test_words_raise_only_their_error(word: str, env: dict[str, str]) -> None:
    try:
        expansion = Lexer().expand(word, env)
    except DockerfileError:
        return
    assert all(expansion.words)
    assert set(expansion.matched) <= set(env)
    assert not set(expansion.unmatched) & set(env)


@given(st.text(alphabet="ab/*?[]\\^-!. ", max_size=12), st.text(alphabet="ab/.-^", max_size=10))
@settings(max_examples=300, deadline=None)
def test_patterns_raise_only_their_error(pattern: str, path: str) -> None:
    try:
        Ignore.of([pattern]).matches_or_parent_matches(path)
    except DockerfileError as error:
        assert str(error)


@given(st.text(alphabet="git@hubcom:/#?=&.%[]abref", max_size=30))
@settings(max_examples=200, deadline=None)
def test_git_references_raise_only_their_error(source: str) -> None:
    try:
        parse_git_reference(source)
    except DockerfileError as error:
        assert str(error)
