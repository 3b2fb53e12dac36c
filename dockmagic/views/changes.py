"""What changed in a file system (docker diff) or between two images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dockmagic.views.view import View, clean, render

LETTERS = {0: "C", 1: "A", 2: "D"}
WORDS = {0: "changed", 1: "added", 2: "deleted"}


class Changes(View):
    """(kind, path) pairs as docker diff prints them; kind 0 changed, 1 added, 2 deleted. Iterates over the pairs."""

    def __init__(self, changes: Sequence[tuple[int, str]]) -> None:
        self.changes = list(changes)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((LETTERS[kind], path) for kind, path in self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def text(self) -> str:
        return "\n".join(f"{LETTERS[kind]} {clean(path, lines=False)}" for kind, path in self.changes)

    def html(self) -> str:
        rows = [(LETTERS[kind], WORDS[kind], path) for kind, path in self.changes]
        return render("changes.html", rows=rows)


class ImageDiff(View):
    """Two images side by side: config that differs, layers they share, files added, changed and deleted with bytes."""

    def __init__(
        self,
        names: tuple[str, str],
        config: Sequence[tuple[str, str, str]],
        shared: int,
        files: Sequence[tuple[int, str, int, int]],
    ) -> None:
        self.names = names
        self.config = list(config)
        """(field, value in the first, value in the second)"""
        self.shared = shared
        """how many layers both have from the base up"""
        self.files = list(files)
        """(kind, path, bytes in the first, bytes in the second), sorted by path"""

    def text(self) -> str:
        first, second = (clean(n, lines=False) for n in self.names)
        lines = [f"{first} -> {second}", f"shared layers: {self.shared}"]
        for field, old, new in self.config:
            lines.append(f"config {field}: {clean(old, lines=False)} -> {clean(new, lines=False)}")
        for kind, path, old_size, new_size in self.files:
            sizes = {0: f"{old_size} -> {new_size}", 1: f"{new_size}", 2: f"{old_size}"}[kind]
            lines.append(f"{LETTERS[kind]} {clean(path, lines=False)} ({sizes} bytes)")
        if not self.config and not self.files:
            lines.append("no difference")
        return "\n".join(lines)

    def html(self) -> str:
        rows = [(LETTERS[k], WORDS[k], path, old, new) for k, path, old, new in self.files]
        return render("imagediff.html", names=self.names, config=self.config, shared=self.shared, rows=rows)
