"""A command's help text is its declaration: docker's own words, read once to know the operands and flags.

    Usage:  docker rename [OPTIONS] CONTAINER NEW_NAME

    Rename a container

    Aliases:
      docker container rename, docker rename

    Options:
      -f, --force           Force it
          --format string   Format output using a custom template

The texts are the docker CLI's (Apache-2.0), less the flags that dockmagic has not.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

MANY = frozenset(
    [
        "list",
        "strings",
        "stringArray",
        "map",
        "mount",
        "ulimit",
        "gpu-request",
        "filter",
        "network",
        "stringToString",
        "uint-list",
        "dockmagic-list",
    ]
)
"""Types of flags that may be given more than once."""

WHOLE = frozenset(["int", "int64", "uint16"])

_FLAG = re.compile(
    r"^  (?:-(?P<short>\w), |    )--(?P<long>[\w-]+)(?: (?P<type>[A-Za-z][\w-]*))?(?:   *(?P<help>\S.*))?$"
)
_DEFAULT = re.compile(r'\(default (?P<value>true|false|-?\d+|"[^"]*")\)$')


@dataclass(frozen=True)
class Flag:
    """One flag. ``type`` is docker's word for its value: string, list, int, bytes, …; "" for a switch."""

    name: str
    short: str = ""
    type: str = ""
    help: str = ""
    default: str = ""

    @property
    def many(self) -> bool:
        return self.type in MANY

    @property
    def label(self) -> str:
        """As docker names a flag in messages: ``-m, --memory``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


@dataclass(frozen=True)
class Usage:
    """What a help text declares."""

    text: str
    path: tuple[str, ...]
    """as in the usage line, without docker: ("container", "prune")"""
    paths: tuple[tuple[str, ...], ...]
    """all of its places in the tree"""
    operands: str
    short: str
    least: int
    most: int | None
    """how many operands there must and may be; None: any number"""
    flags: dict[str, Flag] = field(default_factory=dict)
    shorts: dict[str, Flag] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The usage line without its first word."""
        return self.text.split("\n", 1)[0].removeprefix("Usage:  ")

    @property
    def stops_at_operand(self) -> bool:
        """Whether what follows the first operand is the container's, not docker's: run, exec, create, top."""
        return "COMMAND" in self.operands or "[ps OPTIONS]" in self.operands


def read(docstring: str) -> Usage:
    """Read a help text. Raises ValueError when it is none."""
    text = inspect.cleandoc(docstring)
    first = re.match(r"Usage:  docker ((?:[a-z][\w-]* ?)+?)(?: (?:\[OPTIONS\] ?)?(.*))?$", text.split("\n", 1)[0])
    if first is None:
        raise ValueError(f"not a help text: {text[:60]!r}")
    path = tuple(first[1].split())
    operands = first[2] or ""
    body = re.sub(r"^Usage:.*\n( +docker.*\n)*\n", "", text)
    listed = re.search(r"^Aliases:\n  (.*)$", text, re.MULTILINE)
    paths = [tuple(p.removeprefix("docker ").split()) for p in listed[1].split(", ")] if listed else [path]
    flags = _flags(text)
    least, most = _count(operands)
    return Usage(
        text=text,
        path=path,
        paths=tuple(paths),
        operands=operands,
        short=body.split("\n", 1)[0].rstrip("."),
        least=least,
        most=most,
        flags={f.name: f for f in flags},
        shorts={f.short: f for f in flags if f.short},
    )


def _flags(text: str) -> list[Flag]:
    flags: list[Flag] = []
    _, _, options = text.partition("\nOptions:\n")
    for line in options.split("\n"):
        match = _FLAG.match(line)
        if match:
            flags.append(Flag(match["long"], match["short"] or "", match["type"] or "", match["help"] or ""))
        elif flags and line.startswith(" " * 10):
            last = flags[-1]
            flags[-1] = Flag(last.name, last.short, last.type, f"{last.help}\n{line.strip()}")
    out = []
    for flag in flags:
        default = _DEFAULT.search(flag.help.replace("\n", " "))
        value = default["value"].strip('"') if default and not flag.many else ""
        out.append(Flag(flag.name, flag.short, flag.type, flag.help, value))
    return out


def _count(operands: str) -> tuple[int, int | None]:
    """How many operands a usage line asks for."""
    if operands == "PATH | URL | -":
        return 1, 1
    spaced = re.sub(r"\[[^\]]*\]", lambda m: m[0].replace(" ", "_"), operands)
    words = [w for w in spaced.split() if w != "|"]
    least = sum(1 for w in words if not w.startswith("["))
    if any("..." in w or "OPTIONS" in w for w in words):
        return least, None
    return least, len(words)
