"""Reading a command's words as docker's flag library does (spf13/pflag): ``-itd``, ``-p=80:80``, ``--rm=false``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dockmagic.commands.errors import FlagError
from dockmagic.commands.usage import WHOLE, Flag, Usage
from dockmagic.commands.values import parse_bool, parse_bytes, parse_duration, parse_int

T = TypeVar("T")


class Options:
    """The flags that were given, by name. A flag that was not has its default."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._values: dict[str, list[str]] = {}

    def add(self, flag: Flag, value: str) -> None:
        """Take ``value`` for ``flag``; raises FlagError when its type does not allow it."""
        try:
            if flag.type == "":
                parse_bool(value)
            elif flag.type in WHOLE:
                parse_int(value)
            elif flag.type == "bytes":
                parse_bytes(value)
            elif flag.type == "duration":
                parse_duration(value)
            elif flag.type == "filter" and value and "=" not in value:
                raise ValueError("bad format of filter (expected name=value)")
        except ValueError as error:
            raise FlagError(f'invalid argument "{value}" for "{flag.label}" flag: {error}', self._usage) from None
        if flag.many:
            self._values.setdefault(flag.name, []).append(value)
        else:
            self._values[flag.name] = [value]

    def given(self, name: str) -> bool:
        """Whether the flag was on the line."""
        self._usage.flags[name]
        return name in self._values

    def text(self, name: str) -> str:
        flag = self._usage.flags[name]
        return self._values.get(name, [flag.default])[-1]

    def all(self, name: str) -> list[str]:
        """Every value of a flag that may be repeated, in order."""
        self._usage.flags[name]
        return list(self._values.get(name, []))

    def each(self, name: str, convert: Callable[[str], T]) -> list[T]:
        """Every value, converted. Raises FlagError with the words of ``convert``'s ValueError."""
        flag = self._usage.flags[name]
        found = []
        for value in self.all(name):
            try:
                found.append(convert(value))
            except ValueError as error:
                raise FlagError(f'invalid argument "{value}" for "{flag.label}" flag: {error}', self._usage) from None
        return found

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return parse_bool(self.text(name) or "false")

    def number(self, name: str, default: int = 0) -> int:
        text = self.text(name)
        return parse_int(text) if text else default

    def size(self, name: str) -> int:
        """A number of bytes; 0 when not given."""
        return parse_bytes(self.text(name)) if self.given(name) else 0

    def seconds(self, name: str) -> float:
        """A duration; 0 when not given."""
        return parse_duration(self.text(name)) if self.given(name) else 0.0

    def set(self, name: str, value: str) -> None:
        """Give a flag a value from the code, as if it had been on the line."""
        self.add(self._usage.flags[name], value)


def parse(usage: Usage, words: Sequence[str], refused: dict[str, str] | None = None) -> tuple[Options, list[str]]:
    """The options and the operands among ``words``. ``refused`` tells why dockmagic has not one of docker's flags."""
    options = Options(usage)
    operands: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            operands += rest
            break
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if usage.stops_at_operand:
                operands += rest
                break
        elif word.startswith("--"):
            _long(usage, options, word, rest, refused or {})
        else:
            _short(usage, options, word, rest)
    return options, operands


def _long(usage: Usage, options: Options, word: str, rest: list[str], refused: dict[str, str]) -> None:
    name, equals, value = word[2:].partition("=")
    if name in refused:
        raise FlagError(f"flag --{name} is not supported: {refused[name]}", usage)
    flag = usage.flags.get(name)
    if flag is None:
        raise FlagError(f"unknown flag: --{name}", usage)
    if equals:
        options.add(flag, value)
    elif flag.type == "":
        options.add(flag, "true")
    elif rest:
        options.add(flag, rest.pop(0))
    else:
        raise FlagError(f"flag needs an argument: --{name}", usage)


def _short(usage: Usage, options: Options, word: str, rest: list[str]) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = usage.shorts.get(letter)
        if flag is None:
            raise FlagError(f"unknown shorthand flag: '{letter}' in {word}", usage)
        if letters.startswith("="):
            options.add(flag, letters[1:])
            return
        if flag.type == "":
            options.add(flag, "true")
        elif letters:
            options.add(flag, letters)
            return
        elif rest:
            options.add(flag, rest.pop(0))
        else:
            raise FlagError(f"flag needs an argument: '{letter}' in {word}", usage)
