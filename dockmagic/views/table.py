"""A table: docker's columns as text, a real table as HTML, rows as Python values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from dockmagic.views.view import View, clean, render


@dataclass(frozen=True)
class Chart:
    """A picture in a cell: its ``address``, what it shows in ``words``, its size in pixels."""

    address: str
    words: str
    width: int
    height: int


class Table(View):
    """Rows of a list command. ``table[0]["Names"]``, iteration, ``len``, and :meth:`to_dataframe`.

    ``columns`` are (key, heading) pairs; a row may hold more keys than are shown. ``lines``, when given, is the text
    that a ``--format`` made, and is shown instead.
    """

    def __init__(
        self,
        columns: Sequence[tuple[str, str]],
        rows: Sequence[dict[str, Any]],
        *,
        lines: str | None = None,
        caption: str = "",
    ) -> None:
        self.columns = list(columns)
        self.rows = list(rows)
        self.caption = caption
        self._lines = lines
        self.rich = lines is None

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, key: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return self.rows[key]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def json(self) -> Any:
        """The rows; with ``--format json`` the lines' values."""
        return list(self.rows) if self._lines is None else super().json()

    def to_dataframe(self) -> Any:
        """The rows as a pandas DataFrame. Raises ImportError without pandas."""
        import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]

        return pandas.DataFrame(self.rows)

    def text(self) -> str:
        if self._lines is not None:
            return clean(self._lines)
        heading = [title for _, title in self.columns]
        return columns_text([heading, *([str(r.get(key, "")) for key, _ in self.columns] for r in self.rows)])

    def html(self) -> str:
        if self._lines is not None:
            return render("text.html", content=self._lines)
        return render("table.html", columns=self.columns, rows=self.rows, caption=self.caption, chart=self.chart)

    def chart(self, row: dict[str, Any], key: str) -> Chart | None:
        """What is drawn beside the text of a row's column; here nothing."""
        del row, key
        return None


def columns_text(rows: Sequence[Sequence[str]], least: int = 10, gap: int = 3) -> str:
    """Columns as Go's tabwriter sets docker's tables: cells at least ``least`` wide, ``gap`` spaces between."""
    cells = [[clean(cell, lines=False) for cell in row] for row in rows]
    count = max((len(row) for row in cells), default=0)
    widths = [max([least, *(display_width(row[i]) + gap for row in cells if i < len(row) - 1)]) for i in range(count)]
    lines = []
    for row in cells:
        padded = [c + " " * (widths[i] - display_width(c)) for i, c in enumerate(row[:-1])]
        lines.append("".join([*padded, row[-1] if row else ""]))
    return "\n".join(lines)


def display_width(text: str) -> int:
    """How many columns a terminal gives ``text``."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text if not unicodedata.combining(c))
