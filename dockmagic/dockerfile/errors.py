"""What is wrong with a Dockerfile, in BuildKit's words, with the place where it is wrong."""

from __future__ import annotations

from dockmagic.dockerfile.source import Range
from dockmagic.errors import InvalidParameter


class DockerfileError(InvalidParameter):
    """A Dockerfile, or a word, pattern or reference of one, that is not valid.

    ``str(error)`` is BuildKit's message. ``range`` is the place in the text, or None where a word alone was looked at.
    """

    def __init__(self, message: str, range: Range | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.range = range

    @property
    def line(self) -> int:
        """The first line of the place, from 1; 0 if there is none."""
        return self.range.start.line if self.range else 0

    @property
    def column(self) -> int:
        """The first column of the place, from 0."""
        return self.range.start.column if self.range else 0

    def at(self, range: Range) -> DockerfileError:
        """Give the error a place, unless it has one already."""
        if self.range is None:
            self.range = range
        return self


class ParseError(DockerfileError):
    """The text cannot be read as a tree (BuildKit's ``parser.Parse`` refuses it)."""


class InstructionError(DockerfileError):
    """An instruction is not valid: unknown, a bad flag, too few arguments.

    The text begins with ``dockerfile parse error on line N:`` once the place is known, as BuildKit's does; ``message``
    is the part after it.
    """

    def __init__(self, message: str, range: Range | None = None, *, prefixed: bool = True) -> None:
        super().__init__(message, range)
        self.prefixed = prefixed

    def __str__(self) -> str:
        if self.range is None or not self.prefixed:
            return self.message
        return f"dockerfile parse error on line {self.range.start.line}: {self.message}"


class ExpansionError(DockerfileError):
    """A word could not be expanded: an open quote, a bad substitution, ``${NAME:?message}`` of an unset name."""


class PatternError(DockerfileError):
    """A pattern of ``.dockerignore`` or ``--exclude`` is not valid."""


class GitReferenceError(DockerfileError):
    """A git source has an option that is not valid. Sources that are no git references give None instead."""
