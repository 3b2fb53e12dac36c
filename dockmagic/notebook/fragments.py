"""The Dockerfile that a notebook's cells make together: each cell a fragment that continues the one before."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Fragment:
    """A cell's text. ``cell`` is the cell's id; "" when the frontend tells none."""

    cell: str
    text: str


class Fragments:
    """The cells built so far, in their order."""

    def __init__(self) -> None:
        self._kept: list[Fragment] = []

    def __len__(self) -> int:
        return sum(1 for fragment in self._kept if fragment.text)

    @property
    def text(self) -> str:
        """The whole Dockerfile."""
        return "".join(f.text for f in self._kept)

    def rewind(self, cell: str) -> int:
        """Before a cell runs again: forget it and all that was built on it. How many later cells that makes stale."""
        for index, fragment in enumerate(self._kept):
            if cell and fragment.cell == cell:
                stale = sum(1 for later in self._kept[index + 1 :] if later.text)
                del self._kept[index:]
                return stale
        return 0

    def with_next(self, text: str) -> tuple[str, int]:
        """The Dockerfile with ``text`` after what is kept, and how many lines come before it."""
        before = self.text
        return before + _whole(text), before.count("\n")

    def keep(self, cell: str, text: str) -> None:
        """Take a cell that went well."""
        self._kept.append(Fragment(cell, _whole(text)))

    def hold_place(self, cell: str) -> None:
        """Remember where a cell that failed stood: run again, it goes there, not after what was built meanwhile."""
        if cell:
            self._kept.append(Fragment(cell, ""))

    def clear(self) -> None:
        self._kept.clear()


def _whole(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def has_stage(text: str) -> bool:
    """Whether a FROM has begun a stage."""
    return bool(re.search(r"(?im)^\s*FROM\s", text))


def only_arguments(text: str) -> bool:
    """Whether a text without FROM may stand before one: ARG and comments."""
    lines = [line.strip() for line in text.split("\n")]
    return all(not line or line.startswith("#") or line.upper().startswith("ARG ") for line in lines)


def is_unfinished(text: str) -> bool:
    """Whether a fragment goes on: its last line is continued, or a heredoc is still open."""
    lines = text.rstrip().split("\n")
    if lines and lines[-1].endswith("\\"):
        return True
    opened: list[tuple[str, bool]] = []
    for line in lines:
        if opened:
            name, chomp = opened[0]
            if (line.lstrip("\t") if chomp else line) == name:
                opened.pop(0)
            continue
        if re.match(r"\s*(RUN|COPY|ADD)\b", line, re.IGNORECASE):
            found = re.findall(r"<<(-?)(['\"]?)(\w+)\2", line)
            opened = [(name, bool(chomp)) for chomp, _, name in found]
    return bool(opened)


def kind_of(code: str) -> str:
    """What a cell of the kernel is: empty, magic, docker or dockerfile."""
    lines = [line.strip() for line in code.split("\n")]
    meant = [line for line in lines if line and not line.startswith("#")]
    if not meant:
        return "dockerfile" if any(line.startswith("#") for line in lines) else "empty"
    if meant[0].startswith(("%", "!", "?")) or meant[0].endswith("?"):
        return "magic"
    return "docker" if re.match(r"docker(\s|$)", meant[0]) else "dockerfile"


def docker_lines(code: str) -> list[str]:
    """The commands of a cell of docker lines, continued lines joined, comments left out. Raises ValueError."""
    joined = re.sub(r"[ \t]*\\\n\s*", " ", code)
    commands = []
    for line in (raw.strip() for raw in joined.split("\n")):
        if not line or line.startswith("#"):
            continue
        match = re.match(r"(?:docker(?:\s+|$)|%(?=docker))(.*)", line)
        if match is None:
            raise ValueError(f"a cell of docker commands has only lines that begin with docker: {line}")
        commands.append(match[1].removeprefix("docker").strip() if line.startswith("%") else match[1])
    return commands
