"""What a terminal showed, as plain text: the lines left after all the moves, corrections and colours.

A saved notebook can't hold a live terminal; this is what stays of one.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

MOST_LINES = 2000
"""How many lines are kept; of more, the last."""

_TOKEN = re.compile(
    "\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)"  # OSC: titles, links
    "|\x1b[P^_X][^\x1b]*\x1b\\\\"  # DCS and other strings
    "|\x1b\\[([<-?]?)([0-9;:]*)[ -/]*([@-~])"  # CSI
    "|\x1b[ -/]*[0-~]"  # other sequences
    "|[\x00-\x1f\x7f]"
    "|[^\x00-\x1f\x7f]+"
)
_UNFINISHED = re.compile("\x1b(?:\\][^\x07\x1b]*\x1b?|[P^_X][^\x1b]*\x1b?|\\[[0-?]*[ -/]*|[ -/]*)?\\Z")

_ALTERNATE = {"47", "1047", "1049"}


class Transcript:
    """Takes a terminal's bytes by :meth:`feed`; :attr:`text` is what they left.

    ``columns`` is the terminal's width: longer lines wrap in it, and are one line in the text. What full-screen
    programs draw on the alternate screen is left out, as it leaves no lines in a terminal either.
    """

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns = columns
        self.rows = rows
        self.dropped = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._lines: list[list[str]] = [[]]
        self._wrapped: list[bool] = [False]
        """Whether a line goes on in the next one because the terminal was no wider."""
        self._row = self._column = 0
        self._saved = (0, 0)
        self._alternate = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes that the terminal was given."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        cut = _UNFINISHED.search(text, max(0, len(text) - 4096))
        if cut:
            text, self._rest = text[: cut.start()], text[cut.start() :]
        for match in _TOKEN.finditer(text):
            token = match[0]
            if match[3]:
                self._control(match[1], match[2], match[3])
            elif token >= " " and token[0] != "\x7f":
                self._print(token)
            else:
                self._simple(token)
        spare = len(self._lines) - MOST_LINES
        if spare > MOST_LINES // 4:
            del self._lines[:spare], self._wrapped[:spare]
            self._row = max(0, self._row - spare)
            self.dropped += spare

    @property
    def text(self) -> str:
        """The lines, without white space at their ends and without empty lines at the end."""
        out: list[str] = []
        joined = False
        for cells, wrapped in zip(self._lines, self._wrapped, strict=True):
            line = "".join(cells)
            if joined:
                out[-1] += line
            else:
                out.append(line)
            joined = wrapped
        lines = [line.rstrip() for line in out]
        while lines and not lines[-1]:
            lines.pop()
        if self.dropped:
            lines.insert(0, f"… {self.dropped} earlier lines are left out")
        return "\n".join(lines)

    def _print(self, text: str) -> None:
        if self._alternate:
            return
        for character in text:
            line = self._lines[self._row]
            if unicodedata.combining(character):
                if 0 < self._column <= len(line):
                    line[self._column - 1] += character
                continue
            cells = [character, ""] if unicodedata.east_asian_width(character) in "WF" else [character]
            if self._column + len(cells) > self.columns:
                self._wrapped[self._row] = True
                self._down()
                self._column = 0
                line = self._lines[self._row]
            line.extend(" " * (self._column - len(line)))
            line[self._column : self._column + len(cells)] = cells
            self._column += len(cells)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])
            self._wrapped.append(False)

    def _simple(self, token: str) -> None:
        if self._alternate:
            return
        if token == "\n":
            self._down()
        elif token == "\r":
            self._column = 0
        elif token == "\b":
            self._column = max(0, min(self._column, self.columns) - 1)
        elif token == "\t":
            self._column = min(self.columns - 1, self._column // 8 * 8 + 8)
        elif token == "\x1b7":
            self._saved = self._row, self._column
        elif token == "\x1b8":
            self._move(*self._saved)

    def _move(self, row: int, column: int) -> None:
        """Go there, not above the screen's first line and not far below the last."""
        top = max(0, len(self._lines) - self.rows)
        self._row = max(top, row)
        while self._row >= len(self._lines):
            self._lines.append([])
            self._wrapped.append(False)
        self._column = max(0, min(column, self.columns - 1))

    def _control(self, private: str, text: str, final: str) -> None:
        if private == "?":
            if final in "hl" and _ALTERNATE & set(text.split(";")):
                self._alternate = final == "h"
            return
        if private or self._alternate:
            return
        numbers = [int(part) if part.isdigit() else 0 for part in re.split("[;:]", text)]
        first = numbers[0]
        count = min(max(1, first), 500)
        top = max(0, len(self._lines) - self.rows)
        if final == "A":
            self._move(self._row - count, self._column)
        elif final == "B":
            self._move(min(self._row + count, top + self.rows - 1), self._column)
        elif final == "C":
            self._move(self._row, self._column + count)
        elif final == "D":
            self._move(self._row, min(self._column, self.columns) - count)
        elif final == "G":
            self._move(self._row, count - 1)
        elif final in "Hf":
            second = numbers[1] if len(numbers) > 1 else 1
            self._move(top + min(count, self.rows) - 1, max(1, second) - 1)
        elif final == "J":
            self._erase_screen(first, top)
        elif final == "K":
            self._erase_line(first)
        elif final == "P":
            del self._lines[self._row][self._column : self._column + count]
        elif final == "@":
            self._lines[self._row][self._column : self._column] = [" "] * min(count, self.columns)
            del self._lines[self._row][self.columns :]

    def _erase_line(self, mode: int) -> None:
        line = self._lines[self._row]
        if mode in {0, 2}:
            self._wrapped[self._row] = False
        if mode == 0:
            del line[self._column :]
        elif mode == 1:
            line[: self._column + 1] = [" "] * min(len(line), self._column + 1)
        elif mode == 2:
            line.clear()

    def _erase_screen(self, mode: int, top: int) -> None:
        if mode == 0:
            self._erase_line(0)
            del self._lines[self._row + 1 :], self._wrapped[self._row + 1 :]
        elif mode == 2:  # a terminal forgets the screen; here it stays, and an empty one begins below
            used = max((i + 1 for i, line in enumerate(self._lines) if line), default=0)
            for _ in range(used + self.rows - len(self._lines)):
                self._lines.append([])
                self._wrapped.append(False)
            self._row += used - top
