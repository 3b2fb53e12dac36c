"""The layer tree: what every instruction of an image added, the base image told apart from what was built on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dockmagic.views.numbers import bar, cut, seconds, size
from dockmagic.views.table import Table, display_width
from dockmagic.views.view import View, clean, render

WIDTH = 44
"""How many characters of an instruction the text form shows."""


@dataclass
class FileEntry:
    """A file or folder that a layer adds, changes or deletes. ``size`` of a folder is that of all in it, in bytes."""

    name: str
    size: int = 0
    change: str = "added"
    """added, changed or deleted"""
    children: list[FileEntry] = field(default_factory=list)
    more: int = 0
    """how many entries of it are not shown"""


@dataclass
class LayerEntry:
    """An instruction and what it left. ``created`` in seconds since the epoch."""

    instruction: str
    size: int = 0
    created: float = 0.0
    empty: bool = False
    """whether it changed only the config"""
    base: bool = False
    step: str = ""
    """BuildKit's counter: ``[2/4]``"""
    cached: bool | None = None
    """from the cache or run just now; None when nobody knows"""
    seconds: float | None = None
    files: list[FileEntry] | None = None
    hidden: int = 0
    """bytes of lower layers that it deletes or replaces; they stay in the image all the same"""

    @property
    def mark(self) -> str:
        """How it came to be, in a word."""
        if self.cached:
            return "CACHED"
        return seconds(self.seconds) if self.seconds is not None else ""


class LayerTree(View):
    """The layers of an image from the base up. Iterates over its :class:`LayerEntry` values."""

    def __init__(
        self,
        title: str,
        identity: str,
        entries: Sequence[LayerEntry],
        *,
        base: str = "",
        note: str = "",
    ) -> None:
        self.title = title
        self.identity = identity
        self.entries = list(entries)
        self.base = base
        """the base image's name, when known"""
        self.note = note

    def __iter__(self) -> Iterator[LayerEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def size(self) -> int:
        return sum(e.size for e in self.entries)

    @property
    def layers(self) -> int:
        """How many entries have a file system layer."""
        return sum(1 for e in self.entries if not e.empty)

    def share(self, entry: LayerEntry) -> float:
        """The entry's part of the image's bytes, 0 to 1."""
        return entry.size / self.size if self.size else 0.0

    def rows(self) -> list[tuple[LayerEntry, str]]:
        """The entries to list: the base's own as one, the others each, with the text of the first column."""
        out: list[tuple[LayerEntry, str]] = []
        below = [e for e in self.entries if e.base]
        if below:
            first = next((e.step for e in below if e.step), "")
            whole = LayerEntry(
                f"FROM {self.base}" if self.base else "base image",
                size=sum(e.size for e in below), created=below[-1].created, base=True, step=first,
            )  # fmt: skip
            out.append((whole, self._label(whole)))
        out += [(e, self._label(e)) for e in self.entries if not e.base]
        return out

    def _label(self, entry: LayerEntry) -> str:
        width = max((len(e.step) for e in self.entries), default=0)
        indent = f"{entry.step:<{width}} " if width else ""
        return indent + clean(" ".join(entry.instruction.split()), lines=False)

    @property
    def headline(self) -> str:
        count = self.layers
        parts = [f"{count} layer{'' if count == 1 else 's'}", size(self.size)]
        if self.note:
            parts.append(self.note)
        return f"{clean(self.title, lines=False)}  {self.identity[7:19]}  {', '.join(parts)}"

    def text(self) -> str:
        lines = [self.headline]
        rows = self.rows()
        width = min(max((display_width(label) for _, label in rows), default=0), WIDTH)
        for entry, label in rows:
            shown = cut(label, width)
            amount = "" if entry.empty and not entry.base else size(entry.size)
            chart = bar(self.share(entry)) if amount else ""
            mark = "base" if entry.base else entry.mark
            line = f"{shown}{' ' * (width - display_width(shown))}  {amount:>7}  {chart:<10}  {mark}"
            lines.append(line.rstrip())
        return "\n".join(lines)

    def html(self) -> str:
        return render("layers.html", tree=self, rows=self.rows(), below=[e for e in self.entries if e.base],
                      show_size=size, show_share=lambda e: f"{self.share(e) * 100:.1f}")  # fmt: skip


class History(View):
    """docker history: docker's table as text, the layer tree as HTML. Iterates over the rows."""

    def __init__(self, table: Table, tree: LayerTree) -> None:
        self.table = table
        self.tree = tree

    def __iter__(self) -> Iterator[dict[str, object]]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> dict[str, object]:
        return self.table[index]

    def text(self) -> str:
        return self.table.text()

    def html(self) -> str:
        return self.tree.html()
