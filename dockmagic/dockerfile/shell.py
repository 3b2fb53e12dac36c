"""Words as BuildKit's shell lexer reads them: quotes, escapes, ``$NAME`` and ``${NAME…}``, and splitting into words.

It is not sh: there is no command substitution, no arithmetic, no ``${#NAME}``. One pass over the word makes the result,
the words and the names that were found or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from dockmagic.dockerfile.errors import ExpansionError
from dockmagic.dockerfile.golang import SPACES, quote

_END = "\ufffd"
"""How the end of the word prints in a message: Go's replacement character."""
_SPECIAL_PARAMETERS = frozenset("@*#?-$!0")
_SPACE = frozenset(SPACES)
_PLAIN = re.compile(r"[^$'\"\\`<]*")
"""Text in which nothing has to be looked at."""
_SPACES = re.compile(f"[{re.escape(SPACES)}]+")


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a word became. ``matched`` and ``unmatched`` are names in the order of their first use."""

    result: str
    words: list[str]
    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lexer:
    """How words are read.

    ``escape`` is the escape token of the file. ``raw_quotes`` and ``raw_escapes`` keep quotes and escapes in the
    result; ``skip_quotes`` takes quotes as plain characters; ``skip_unset`` leaves references to unset names as they
    are.
    """

    escape: str = "\\"
    raw_quotes: bool = False
    raw_escapes: bool = False
    skip_quotes: bool = False
    skip_unset: bool = False

    def expand(self, word: str, env: Mapping[str, str]) -> Expansion:
        """Expand ``word`` with the values of ``env``. ExpansionError says what is wrong, in BuildKit's words."""
        if _PLAIN.fullmatch(word):
            return Expansion(word, [found for found in _SPACES.split(word) if found])
        reader = _Reader(self, word, env)
        try:
            result, words = reader.until(None, self.raw_escapes)
        except ExpansionError as error:
            raise ExpansionError(f"failed to process {quote(word)}: {error.message}") from None
        except RecursionError:
            raise ExpansionError(f"failed to process {quote(word)}: nested too deeply") from None
        return Expansion(result, words, tuple(reader.matched), tuple(reader.unmatched))

    def word(self, word: str, env: Mapping[str, str]) -> str:
        """The word, expanded."""
        return self.expand(word, env).result

    def words(self, word: str, env: Mapping[str, str]) -> list[str]:
        """The words that it is split into after expansion, at spaces that are not quoted."""
        return self.expand(word, env).words


def expand_word(word: str, env: Mapping[str, str], escape: str = "\\") -> str:
    """Expand one word, as ENV, COPY, … do it."""
    return Lexer(escape).word(word, env)


@dataclass(slots=True)
class _Words:
    """Collects words: a space ends one, unless it came from quotes. ``parts`` is the word begun."""

    parts: list[str]
    words: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        for char in text:
            if char not in _SPACE:
                self.parts.append(char)
            elif self.parts:
                self.finish()

    def add_raw(self, text: str) -> None:
        if text:
            self.parts.append(text)

    def finish(self) -> list[str]:
        if self.parts:
            self.words.append("".join(self.parts))
            self.parts.clear()
        return self.words


class _Reader:
    """A position in one word."""

    __slots__ = ("env", "lexer", "matched", "parts", "position", "raw_escapes", "source", "unmatched")

    def __init__(self, lexer: Lexer, source: str, env: Mapping[str, str]) -> None:
        self.lexer = lexer
        self.source = source
        self.env = env
        self.position = 0
        self.raw_escapes = lexer.raw_escapes
        self.parts: list[str] = []
        self.matched: dict[str, None] = {}
        self.unmatched: dict[str, None] = {}

    def peek(self) -> str:
        """The next character, "" at the end."""
        return self.source[self.position : self.position + 1]

    def next(self) -> str:
        char = self.source[self.position : self.position + 1]
        self.position += len(char)
        return char

    def until(self, stop: str | None, raw_escapes: bool) -> tuple[str, list[str]]:
        """Read up to and over ``stop`` (None: to the end of the word)."""
        outer, self.raw_escapes = self.raw_escapes, raw_escapes
        try:
            return self._until(stop)
        finally:
            self.raw_escapes = outer

    def _until(self, stop: str | None) -> tuple[str, list[str]]:
        lexer = self.lexer
        result: list[str] = []
        # BuildKit keeps one buffer for the word begun, at every depth: the argument of ``a${NAME:-b}c`` empties it, and
        # of that word ``bc`` remains (as EXPOSE sees it; the result, which all others use, is whole).
        self.parts.clear()
        words = _Words(self.parts)
        while char := self.peek():
            if char == stop:
                self.position += 1
                return "".join(result), words.finish()
            if char == "$":
                value = self.dollar()
                result.append(value)
                words.add(value)
            elif char in "'\"" and not lexer.skip_quotes:
                value = self.single_quoted() if char == "'" else self.double_quoted()
                result.append(value)
                words.add_raw(value)
            elif char == "<":
                value = self.possible_heredoc()
                result.append(value)
                words.add_raw(value)
            elif char == lexer.escape:
                self.position += 1
                if self.raw_escapes:
                    result.append(char)
                    words.add_raw(char)
                escaped = self.next()
                result.append(escaped)
                words.add_raw(escaped)
            elif stop is None and (match := _PLAIN.match(self.source, self.position)) and match.group():
                # Most of a word is plain: take it at once.
                self.position = match.end()
                result.append(match.group())
                words.add(match.group())
            else:
                self.position += 1
                result.append(char)
                words.add(char)
        if stop is not None:
            raise ExpansionError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(result), words.finish()

    def possible_heredoc(self) -> str:
        """``<<`` and the spaces after it belong to one word, so that ``<<  EOF`` stays together."""
        self.position += 1
        if self.peek() != "<":
            return "<"
        start = self.position
        self.position += 1
        while self.peek() in {" ", "\t"}:
            self.position += 1
        return "<" + self.source[start : self.position]

    def single_quoted(self) -> str:
        end = self.source.find("'", self.position + 1)
        if end < 0:
            self.position = len(self.source)
            raise ExpansionError("unexpected end of statement while looking for matching single-quote")
        start, self.position = self.position, end + 1
        return self.source[start : end + 1] if self.lexer.raw_quotes else self.source[start + 1 : end]

    def double_quoted(self) -> str:
        lexer = self.lexer
        result = [self.next()] if lexer.raw_quotes else []
        if not lexer.raw_quotes:
            self.position += 1
        while char := self.peek():
            if char == "$":
                result.append(self.dollar())
                continue
            self.position += 1
            if char == '"':
                if lexer.raw_quotes:
                    result.append(char)
                return "".join(result)
            if char == lexer.escape:
                if self.raw_escapes:
                    result.append(char)
                following = self.peek()
                if not following:
                    continue
                if following in {'"', "$", lexer.escape}:
                    char = self.next()
            result.append(char)
        raise ExpansionError("unexpected end of statement while looking for matching double-quote")

    def dollar(self) -> str:
        """A reference: ``$NAME`` or ``${…}``; a ``$`` alone stands for itself."""
        self.position += 1
        if self.peek() != "{":
            name = self.name()
            if not name:
                return "$"
            value = self.get(name)
            if value is None:
                return f"${name}" if self.lexer.skip_unset else ""
            return value
        self.position += 1
        following = self.peek()
        if not following:
            raise ExpansionError("syntax error: missing '}'")
        if following in "{}:":
            raise ExpansionError("syntax error: bad substitution")
        return self.substitution(self.name())

    def substitution(self, name: str) -> str:
        """What follows the name in ``${NAME…}``."""
        operator = self.next()
        if operator == "}":
            value = self.get(name)
            if value is None:
                return f"${{{name}}}" if self.lexer.skip_unset else ""
            return value
        if operator == "/":
            return self.replace(name)
        modifier = operator
        empty_is_unset = operator == ":"
        if empty_is_unset:
            operator = self.next()
            modifier += operator or _END
        unsupported = ExpansionError(f"unsupported modifier ({modifier or _END}) in substitution")
        is_pattern = operator in {"#", "%"}
        if is_pattern if empty_is_unset else operator not in {"+", "-", "?", "#", "%"}:
            raise unsupported
        word = self.argument("}", is_pattern, "syntax error: missing '}'")
        value = self.get(name)
        if value is None and self.lexer.skip_unset:
            return f"${{{name}{modifier}{word}}}"
        missing = value is None or (empty_is_unset and not value)
        if operator == "-":
            return word if missing else value or ""
        if operator == "+":
            return "" if missing else word
        if operator == "?":
            if missing:
                state = "unset" if value is None else "empty"
                raise ExpansionError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value or ""
        if not is_pattern:
            # Only after a colon: BuildKit has read the rest and looked up the name by now.
            raise unsupported
        longest = word.startswith(operator)
        pattern = word[1:] if longest else word
        trim = trim_suffix if operator == "%" else trim_prefix
        return trim(pattern, value or "", longest)

    def replace(self, name: str) -> str:
        """``${NAME/pattern/replacement}``, with ``//`` for every match."""
        everywhere = self.peek() == "/"
        if everywhere:
            self.position += 1
        pattern = self.argument("/", True, "syntax error: missing '/' in ${}")
        replacement = self.argument("}", True, "syntax error: missing '}'")
        value = self.get(name)
        if value is None and self.lexer.skip_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return _replace(_compile(pattern, greedy=True), replacement, value or "", everywhere)

    def argument(self, stop: str, raw_escapes: bool, missing: str) -> str:
        """The text up to ``stop``; at the end of the word the error is ``missing``, whatever was open."""
        try:
            return self.until(stop, raw_escapes)[0]
        except ExpansionError:
            if not self.peek():
                raise ExpansionError(missing) from None
            raise

    def name(self) -> str:
        """A name: letters, digits and ``_``; a number; or one of the shell's special parameters."""
        start = self.position
        char = self.peek()
        if char and (char.isdecimal()):
            while (char := self.peek()) and char.isdecimal():
                self.position += 1
        elif char and char in _SPECIAL_PARAMETERS:
            self.position += 1
        else:
            while (char := self.peek()) and (char == "_" or char.isalpha() or char.isdecimal()):
                self.position += 1
        return self.source[start : self.position]

    def get(self, name: str) -> str | None:
        value = self.env.get(name)
        (self.unmatched if value is None else self.matched)[name] = None
        return value


@lru_cache(maxsize=256)
def _compile(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    """A shell pattern (``*``, ``?``, escapes; no brackets) as an expression."""
    star = ".*" if greedy else ".*?"
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            parts.append(star)
        elif char == "?":
            parts.append(".")
        elif char == "\\":
            following = pattern[position : position + 1]
            if following in {"}", "/"}:
                continue
            if following not in {"*", "?", "\\"}:
                problem = f"invalid escape '\\{following or _END}'"
                raise ExpansionError(f"invalid pattern ({pattern}) in substitution: {problem}")
            position += 1
            parts.append(re.escape(following))
        else:
            parts.append(re.escape(char))
    return re.compile("".join(parts))


def _replace(expression: re.Pattern[str], replacement: str, value: str, everywhere: bool) -> str:
    """Replace matches as Go does: no empty match right after another match."""
    parts: list[str] = []
    end = 0
    for index, match in enumerate(expression.finditer(value)):
        if index and match.start() == match.end() == end:
            continue
        parts += (value[end : match.start()], replacement)
        end = match.end()
        if not everywhere:
            break
    return "".join(parts) + value[end:]


def trim_prefix(pattern: str, value: str, longest: bool) -> str:
    """``${NAME#pattern}`` and ``${NAME##pattern}``."""
    match = _compile(pattern, greedy=longest).match(value)
    return value[match.end() :] if match else value


def trim_suffix(pattern: str, value: str, longest: bool) -> str:
    """``${NAME%pattern}`` and ``${NAME%%pattern}``: a prefix, seen in a mirror."""
    return trim_prefix(_reversed(pattern), value[::-1], longest)[::-1]


def _reversed(pattern: str) -> str:
    """The pattern backwards, escaped characters kept together: ``a\\*c`` is ``c\\*a``."""
    return "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))
