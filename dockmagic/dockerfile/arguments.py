"""How each instruction's arguments are split: the rest of the line into a list, or a JSON array.

Each function takes the text after keyword and flags and gives ``(arguments, is_json)``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from dockmagic.dockerfile.errors import ParseError
from dockmagic.dockerfile.golang import SPACES, quote

Split = Callable[[str, str], tuple[list[str], bool]]
WHITESPACE = re.compile(r"[\t\v\f\r ]+")
_SPACE_CLASS = "[" + re.escape(SPACES) + "]"
_FIRST_WORD = re.compile(rf"([^{re.escape(SPACES)}]+){_SPACE_CLASS}*")


def _word_pattern(escape: str) -> re.Pattern[str]:
    """Words with quotes and escapes. Group 1 or 2 is set when the escape token is the text's last character."""
    token, space = re.escape(escape), re.escape(SPACES)
    return re.compile(
        rf"(?:{token}(?:.|(\Z))|'[^']*(?:'|\Z)|\"(?:{token}(?:.|(\Z))|[^\"{token}])*(?:\"|\Z)|[^{space}{token}'\"])+",
        re.DOTALL,
    )


_WORDS = {escape: _word_pattern(escape) for escape in "\\`"}


def split_words(rest: str, escape: str) -> list[str]:
    """Words at spaces that are not quoted; quotes and escapes stay. An escape token at the very end is dropped."""
    words = []
    for match in _WORDS[escape].finditer(rest):
        word = match.group()
        if match.lastindex:
            word = word[:-1]
        if word:
            words.append(word)
    return words


def word_spans(rest: str, escape: str) -> list[tuple[int, int]]:
    """The places of ``split_words``'s words."""
    spans = []
    for match in _WORDS[escape].finditer(rest):
        end = match.end() - (1 if match.lastindex else 0)
        if end > match.start():
            spans.append((match.start(), end))
    return spans


def whole(rest: str, escape: str) -> tuple[list[str], bool]:
    """USER, WORKDIR, …: one string."""
    return ([rest] if rest else []), False


def delimited(rest: str, escape: str) -> tuple[list[str], bool]:
    """FROM, EXPOSE: split at white space, quotes mean nothing."""
    return (WHITESPACE.split(rest) if rest else []), False


def names(rest: str, escape: str) -> tuple[list[str], bool]:
    """ARG: words."""
    return split_words(rest, escape), False


def ignored(rest: str, escape: str) -> tuple[list[str], bool]:
    """An unknown instruction: one empty argument, as BuildKit's tree has it."""
    return [""], False


def maybe_json(rest: str, escape: str) -> tuple[list[str], bool]:
    """RUN, CMD, ENTRYPOINT, SHELL: a JSON array of strings, else one string."""
    array = json_array(rest)
    return (array, True) if array is not None else whole(rest, escape)


def maybe_json_list(rest: str, escape: str) -> tuple[list[str], bool]:
    """COPY, ADD, VOLUME: a JSON array of strings, else split at white space."""
    array = json_array(rest)
    return (array, True) if array is not None else delimited(rest, escape)


def health(rest: str, escape: str) -> tuple[list[str], bool]:
    """HEALTHCHECK: the type, then as RUN."""
    match = _FIRST_WORD.match(rest)
    if match is None:
        return [], False
    args, is_json = maybe_json(rest[match.end() :], escape)
    return [match.group(1), *args], is_json


def env(rest: str, escape: str) -> tuple[list[str], bool]:
    """ENV: key, value and separator in turns."""
    return _pairs(rest, escape, "ENV"), False


def label(rest: str, escape: str) -> tuple[list[str], bool]:
    """LABEL: key, value and separator in turns."""
    return _pairs(rest, escape, "LABEL"), False


def _pairs(rest: str, escape: str, keyword: str) -> list[str]:
    """``KEY=VALUE …``, or the old ``KEY VALUE``: the first word decides."""
    words = split_words(rest, escape)
    if not words:
        return []
    if "=" not in words[0]:
        parts = WHITESPACE.split(rest, maxsplit=1)
        if len(parts) < 2:
            raise ParseError(f"{keyword} must have two arguments")
        return [*parts, ""]
    args: list[str] = []
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise ParseError(f"Syntax error - can't find = in {quote(word)}. Must be of the form: name=value")
        args += (key, value, "=")
    return args


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("out of range")
    return value


_JSON = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_finite)
_SURROGATES = re.compile("[\ud800-\udfff]")


def json_array(rest: str) -> list[str] | None:
    """The strings of a JSON array; None if the text is none. ParseError if it holds something other than strings."""
    rest = rest.lstrip(SPACES)
    if not rest.startswith("["):
        return None
    try:
        value = _JSON.decode(rest)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in value):
        raise ParseError("when using JSON array syntax, arrays must be comprised of strings only")
    # Go puts the replacement character where an escaped half of a surrogate pair stands alone.
    return [_SURROGATES.sub("\ufffd", item) for item in value]


SPLITS: dict[str, Split] = {
    "add": maybe_json_list,
    "arg": names,
    "cmd": maybe_json,
    "copy": maybe_json_list,
    "entrypoint": maybe_json,
    "env": env,
    "expose": delimited,
    "from": delimited,
    "healthcheck": health,
    "label": label,
    "maintainer": whole,
    "run": maybe_json,
    "shell": maybe_json,
    "stopsignal": whole,
    "user": whole,
    "volume": maybe_json_list,
    "workdir": whole,
}
"""Every instruction but ONBUILD, which the parser reads itself."""

KEYWORDS = tuple(sorted([*SPLITS, "onbuild"]))
