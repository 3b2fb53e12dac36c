"""Pulling and pushing: a line a layer, as docker's own display ends up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dockmagic.views.numbers import size
from dockmagic.views.view import View, clean, render


@dataclass
class LayerState:
    """One layer on its way. ``current`` and ``total`` in bytes; 0 when not told."""

    id: str
    status: str = ""
    current: int = 0
    total: int = 0


class PullProgress(View):
    """Made of the engine's messages by :meth:`add`; a snapshot of it is :meth:`copy`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._lines: list[str | LayerState] = []
        self._layers: dict[str, LayerState] = {}
        self.error = ""

    def add(self, message: dict[str, Any]) -> None:
        """Take one message of /images/create or /images/…/push."""
        if "error" in message:
            self.error = str(message.get("errorDetail", {}).get("message") or message["error"])
            return
        identity, status = str(message.get("id") or ""), str(message.get("status") or message.get("stream") or "")
        detail = message.get("progressDetail")
        if not identity or detail is None:
            line = f"{identity}: {status}" if identity else status
            if line.strip():
                self._lines.append(line.rstrip("\n"))
            return
        layer = self._layers.get(identity)
        if layer is None:
            layer = self._layers[identity] = LayerState(identity)
            self._lines.append(layer)
        layer.status = status
        layer.current, layer.total = int(detail.get("current") or 0), int(detail.get("total") or 0)

    @property
    def layers(self) -> list[LayerState]:
        return list(self._layers.values())

    def text(self) -> str:
        if self.quiet:
            return ""
        lines = [f"{x.id}: {x.status}" if isinstance(x, LayerState) else x for x in list(self._lines)]
        return "\n".join(clean(line, lines=False) for line in lines)

    def html(self) -> str:
        if self.quiet:
            return ""
        items = [x if isinstance(x, LayerState) else None for x in list(self._lines)]
        texts = [x if isinstance(x, str) else "" for x in list(self._lines)]
        return render("pull.html", lines=list(zip(items, texts, strict=True)), size=size)
