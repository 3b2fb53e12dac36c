"""``--chmod``: an octal mode, or chmod(1)'s symbolic one such as ``u=rwX,go-w``."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass

from dockmagic.errors import InvalidParameter

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]+|[ugo]|)")
_SHIFT = {"u": 6, "g": 3, "o": 0}


@dataclass(frozen=True)
class Mode:
    """A parsed ``--chmod``: either ``octal`` or the ``actions`` of a symbolic mode, in order."""

    octal: int | None = None
    actions: tuple[tuple[str, str, str], ...] = ()
    """(classes among ``ugo``, operator, permissions)"""

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Raises InvalidParameter with BuildKit's message."""
        invalid = InvalidParameter(
            f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        )
        if re.fullmatch("[0-7]+", text):
            value = int(text, 8)
            if value > 0o7777:
                raise invalid
            return cls(octal=value)
        if text[:1].isdigit():
            raise invalid
        actions: list[tuple[str, str, str]] = []
        for clause in text.split(","):
            found = _CLAUSE.fullmatch(clause)
            if found is None:
                raise InvalidParameter(f"invalid chmod parameter: '{text}': syntax error in '{clause}'")
            classes = "".join(c for c in "ugo" if c in found[1]) if found[1] and "a" not in found[1] else "ugo"
            actions += [(classes, operator, what) for operator, what in _ACTION.findall(found[2])]
        return cls(actions=tuple(actions))

    def apply(self, mode: int) -> int:
        """The permission bits (07777) of a file whose whole st_mode is ``mode``."""
        if self.octal is not None:
            return self.octal
        bits = stat.S_IMODE(mode)
        executable = stat.S_ISDIR(mode) or bool(mode & 0o111)
        for classes, operator, what in self.actions:
            value, mask = _bits(classes, what, bits, executable)
            if operator == "+":
                bits |= value
            elif operator == "-":
                bits &= ~value
            else:
                bits = bits & ~mask | value
        return bits


def _bits(classes: str, what: str, bits: int, executable: bool) -> tuple[int, int]:
    """The bits that ``what`` names for ``classes``, and all bits that ``=`` replaces."""
    value = mask = 0
    if what in _SHIFT:
        permissions = bits >> _SHIFT[what] & 7
    else:
        permissions = ("r" in what) * 4 | ("w" in what) * 2 | ("x" in what or ("X" in what and executable)) * 1
    for name in classes:
        value |= permissions << _SHIFT[name]
        mask |= 7 << _SHIFT[name]
    if "u" in classes:
        mask |= stat.S_ISUID
        value |= stat.S_ISUID if "s" in what else 0
    if "g" in classes:
        mask |= stat.S_ISGID
        value |= stat.S_ISGID if "s" in what else 0
    if classes == "ugo":
        mask |= stat.S_ISVTX
    value |= stat.S_ISVTX if "t" in what else 0
    return value, mask
