"""Words: what the conformance cases leave out, and what they are for."""

from __future__ import annotations

import pytest

from dockmagic.dockerfile import ExpansionError, Lexer, expand_word

ENV = {"NAME": "value", "EMPTY": "", "PATH": "/usr/local/bin", "FILE": "archive.tar.gz"}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("$NAME ${NAME} \\$NAME '$NAME' \"$NAME\"", "value value $NAME $NAME value"),
        ("${NONE:-a} ${NONE-b} ${EMPTY:-c} ${EMPTY-d}", "a b c "),
        ("${NAME:+a}${EMPTY:+b}${EMPTY+c}", "ac"),
        ("${FILE%.*} ${FILE%%.*} ${FILE#*.} ${FILE##*.}", "archive.tar archive tar.gz gz"),
        ("${PATH/\\//_} ${PATH//\\//_}", "_usr/local/bin _usr_local_bin"),
        ("${FILE/?r/X} ${FILE/*/all}", "Xchive.tar.gz all"),
        ("${NONE:-${NAME:+${FILE%.gz}}}", "archive.tar"),
        ("a$", "a$"),
        ("$1a$?", "a"),
    ],
)
def test_operators(word: str, result: str) -> None:
    assert expand_word(word, ENV) == result


def test_the_other_escape_token() -> None:
    assert expand_word("`$NAME c:\\$NAME", ENV, escape="`") == "$NAME c:\\value"


def test_every_match_is_replaced_once() -> None:
    assert expand_word("${NAME//*/x}", ENV) == "x"
    assert expand_word("${NAME//e/<>}", ENV) == "valu<>"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("${NONE:?need it}", "NONE: need it"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${NAME", "unsupported modifier (\ufffd) in substitution"),
        ("${NAME:-x", "syntax error: missing '}'"),
        ("${NAME:#x}", "unsupported modifier (:#) in substitution"),
        ("${NAME#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"),
    ],
)
def test_errors(word: str, message: str) -> None:
    with pytest.raises(ExpansionError) as caught:
        expand_word(word, ENV)
    assert caught.value.message.endswith(f": {message}")
    assert caught.value.message.startswith("failed to process ")


def test_names_are_told_apart_by_whether_they_have_a_value() -> None:
    expansion = Lexer().expand("$NAME ${OTHER:-$THIRD} $EMPTY $NAME", ENV)
    assert (expansion.matched, expansion.unmatched) == (("NAME", "EMPTY"), ("THIRD", "OTHER"))


def test_unset_names_may_stay() -> None:
    lexer = Lexer(skip_unset=True)
    assert lexer.word("$NONE ${NONE} ${NONE:-x} ${NONE/a/b} $NAME", ENV) == "$NONE ${NONE} ${NONE:-x} ${NONE/a/b} value"


def test_words_are_split_after_expansion_but_not_in_quotes() -> None:
    assert Lexer().words('$LIST "$LIST" c\\ d', {"LIST": " a  b "}) == ["a", "b", " a  b ", "c d"]


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(ExpansionError):
        expand_word("${a:-" * 100_000, {})
