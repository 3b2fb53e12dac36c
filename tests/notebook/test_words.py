"""A magic's line as words, and Python's values in it."""

from __future__ import annotations

import pytest

from dockmagic.notebook.words import WordsError, split

NAMES = {"name": "two words", "n": 3, "many": ["a b", 2], "d": {"k": "}"}, "quote": '"$HOME"'}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('run -e "A=b c" alpine', ["run", "-e", "A=b c", "alpine"]),
        ("run alpine echo '$HOME' $PATH `ls` ~ *", ["run", "alpine", "echo", "$HOME", "$PATH", "`ls`", "~", "*"]),
        ("ps --format {{.ID}}", ["ps", "--format", "{{.ID}}"]),
        ("ps --format '{{json .}} # x'", ["ps", "--format", "{{json .}} # x"]),
        ("echo @{name} x@{n}y", ["echo", "two words", "x3y"]),
        ("echo @{many} z@{many}", ["echo", "a b", "2", "z['a b', 2]"]),
        ("echo @{d['k']} @{ {'a': n}['a'] }", ["echo", "}", "3"]),
        ("echo @{quote}", ["echo", '"$HOME"']),
        ("echo '@{name}'", ["echo", "two words"]),
        ("echo @@{name} a@b", ["echo", "@{name}", "a@b"]),
        ("echo {name} $name", ["echo", "{name}", "$name"]),
        ("sh -c 'ls | wc' '|' a>b", ["sh", "-c", "ls | wc", "|", "a>b"]),
        ("", []),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert split(line, NAMES) == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("echo 'open", "no closing quotation"),
        ("echo @{name", "without its }"),
        ("echo @{missing}", "NameError: name 'missing' is not defined"),
        ("echo @{1/0}", "ZeroDivisionError"),
        ("run alpine echo hi | wc -l", "no shell reads this line, so | means nothing here"),
        ("run alpine ls > files", "so > means nothing here"),
        ("echo @{a b}", "no Python expression: @{a b}"),
    ],
)
def test_what_is_wrong_is_said(line: str, message: str) -> None:
    with pytest.raises(WordsError) as failure:
        split(line, NAMES)
    assert message in str(failure.value)
