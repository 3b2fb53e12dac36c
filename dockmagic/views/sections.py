"""Several views under titles, one below the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dockmagic.views.view import View, render


class Sections(View):
    """``parts`` are (title, view) pairs; iterate it for the views."""

    def __init__(self, parts: Sequence[tuple[str, View]]) -> None:
        self.parts = list(parts)

    def __iter__(self) -> Iterator[View]:
        return (view for _, view in self.parts)

    def text(self) -> str:
        return "\n\n".join(f"{title}\n\n{view.text()}" for title, view in self.parts)

    def html(self) -> str:
        parts = [(title, view.html()) for title, view in self.parts]
        return "\n".join(render("title.html", title=title) + "\n" + html for title, html in parts)
