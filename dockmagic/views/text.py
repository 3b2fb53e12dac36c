"""Plain text: help, an id, a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dockmagic.views.view import View, clean, render


class Text(View):
    """Text as docker prints it. It is also a string's worth of lines: iterate it, or take ``.lines``."""

    rich = False

    def __init__(self, content: str) -> None:
        self.content = content

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def text(self) -> str:
        return clean(self.content)

    def html(self) -> str:
        return render("text.html", content=self.content)

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, str | Text) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.content)


class Json(View):
    """Values of the API (docker inspect): shown as JSON; Python values by index, iteration and ``.json()``."""

    rich = False

    def __init__(self, value: Any, content: str) -> None:
        self.value = value
        self.content = content

    def json(self) -> Any:
        return self.value

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def text(self) -> str:
        return clean(self.content)

    def html(self) -> str:
        return render("text.html", content=self.content)
