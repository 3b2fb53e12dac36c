"""Lines, continuations, comments, flags, places, and reading on after an error."""

from __future__ import annotations

import pytest

from dockmagic.dockerfile import Directive, ParseError, Position, Range, parse


def test_an_instruction_keeps_its_text_its_arguments_and_its_lines() -> None:
    (node,) = parse("\n  FROM --platform=linux/amd64 alpine \\\n    AS base\n").nodes
    assert (node.keyword, node.flags, node.args) == ("FROM", ["--platform=linux/amd64"], ["alpine", "AS", "base"])
    assert node.original == "FROM --platform=linux/amd64 alpine     AS base"
    assert node.range == Range(Position(2, 2), Position(3, 11))


def test_comments_and_blank_lines_inside_an_instruction_are_left_out() -> None:
    tree = parse("RUN a && \\\n# why\n\n  b\n")
    assert tree.nodes[0].args == ["a &&   b"]
    assert [(warning.rule, warning.line) for warning in tree.warnings] == [("NoEmptyContinuation", 4)]


def test_a_doubled_escape_continues_nothing() -> None:
    assert [node.original for node in parse("RUN a\\\\\nRUN b").nodes] == ["RUN a\\\\", "RUN b"]


def test_the_escape_directive_changes_the_continuation() -> None:
    tree = parse("# escape=`\nFROM a `\n  AS b\nRUN dir c:\\\nRUN x")
    assert tree.escape == "`"
    assert [node.args for node in tree.nodes] == [["a", "AS", "b"], ["dir c:\\"], ["x"]]


def test_directives_end_at_the_first_other_line() -> None:
    tree = parse("# syntax=docker/dockerfile:1\n# CHECK = skip=all\n# note\n# escape=`\nFROM a")
    assert tree.directives == [Directive("syntax", "docker/dockerfile:1", 1), Directive("check", "skip=all", 2)]
    assert tree.escape == "\\"
    assert tree.nodes[0].comments == ["note", "escape=`"]


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "file with no instructions", 1),
        ("# only\n# comments\n", "file with no instructions", 2),
        ("FROM a\nENV PATH\n", "ENV must have two arguments", 2),
        ("FROM a\nENV A=b c\n", 'Syntax error - can\'t find = in "c". Must be of the form: name=value', 2),
        ("FROM a\nCMD [1]\n", "when using JSON array syntax, arrays must be comprised of strings only", 2),
        ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\", 1),
        ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive can be used", 2),
        ("FROM a\nRUN <<EOF\nhello\n", "unterminated heredoc", 2),
        ("FROM a\nRUN <<'EOF\nhello\n", "", 0),
        (f"FROM a\nRUN {'x' * 65532}", "dockerfile line greater than max allowed size of 65535", 2),
    ],
)
def test_errors_have_buildkits_words_and_a_place(text: str, message: str, line: int) -> None:
    if not message:
        assert parse(text).nodes  # an open quote in a line hides its heredocs
        return
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert str(caught.value) == message
    assert caught.value.line == line
    assert caught.value.status == 400


def test_a_line_of_exactly_the_greatest_size_is_read() -> None:
    assert len(parse(f"RUN {'x' * 65531}\n").nodes[0].original) == 65535


def test_windows_line_ends_are_ends_of_lines() -> None:
    tree = parse("FROM a\r\nRUN b \\\r\n  c\r\nCOPY <<EOF /x\r\nhi\r\nEOF\r\n")
    assert [node.args for node in tree.nodes] == [["a"], ["b   c"], ["<<EOF", "/x"]]
    assert tree.nodes[2].heredocs[0].content == "hi\r\n"


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse("\ufeffFROM a").nodes[0].keyword == "FROM"
    assert parse(b"\xef\xbb\xbfFROM caf\xc3\xa9").nodes[0].args == ["café"]


def test_flags_lose_their_quotes_and_end_at_two_dashes() -> None:
    node = parse("COPY --from='a b' --x=\\\"y -- --z w").nodes[0]
    assert (node.flags, node.args) == (["--from=a b", '--x="y'], ["--z", "w"])


def test_an_unknown_instruction_is_kept_for_later() -> None:
    assert parse("FOO bar").nodes[0].args == [""]


def test_onbuild_holds_another_instruction() -> None:
    node = parse("ONBUILD COPY --from=x <<EOF /y\nhi\nEOF\n").nodes[0]
    assert node.child is not None
    assert (node.child.keyword, node.child.flags) == ("COPY", ["--from=x"])
    assert node.heredocs[0].content == "hi\n"
    assert node.end_line == 3


def test_onbuild_in_onbuild_does_not_exhaust_the_stack() -> None:
    with pytest.raises(ParseError, match="Chaining ONBUILD"):
        parse("ONBUILD " * 5000)


class TestRecovering:
    """``recover``: for cells that are being written."""

    def test_an_instruction_that_is_wrong_does_not_hide_the_others(self) -> None:
        tree = parse("FROM a\nENV X\nCMD [1]\nRUN b", recover=True)
        assert [node.keyword for node in tree.nodes] == ["FROM", "ENV", "CMD", "RUN"]
        assert [(error.line, str(error)) for error in tree.errors] == [
            (2, "ENV must have two arguments"),
            (3, "when using JSON array syntax, arrays must be comprised of strings only"),
        ]
        assert tree.nodes[1].error is tree.errors[0]
        assert tree.nodes[3].error is None

    def test_an_open_heredoc_takes_the_rest(self) -> None:
        tree = parse("FROM a\nRUN <<EOF\necho hi\n", recover=True)
        assert tree.nodes[1].heredocs[0].content == "echo hi\n"
        assert str(tree.errors[0]) == "unterminated heredoc"

    def test_a_line_that_asks_for_another_is_unfinished(self) -> None:
        tree = parse("FROM a\nRUN x \\", recover=True)
        assert tree.nodes[1].unfinished
        assert not tree.nodes[0].unfinished

    def test_nothing_written_yet(self) -> None:
        tree = parse("", recover=True)
        assert (tree.nodes, len(tree.errors)) == ([], 1)
