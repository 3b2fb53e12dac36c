"""docker stats: docker's table as text, and as HTML the same table with small charts of CPU and memory."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from dockmagic.views.table import Chart, Table

WIDTH, HEIGHT = 120, 24

KEPT = 60
"""How many samples a chart shows; of more, the last."""


class Usage(Table):
    """``history`` has, by a row's ID, (CPU %, memory %) of each sample so far, the last one that of the row."""

    def __init__(
        self,
        columns: Sequence[tuple[str, str]],
        rows: Sequence[dict[str, Any]],
        history: Mapping[str, Sequence[tuple[float, float]]],
    ) -> None:
        super().__init__(columns, rows)
        self.history = {key: list(samples)[-KEPT:] for key, samples in history.items()}

    def chart(self, row: dict[str, Any], key: str) -> Chart | None:
        """The samples of a row's column; None where there is nothing to draw."""
        place = {"CPUPerc": 0, "MemPerc": 1}.get(key)
        samples = self.history.get(str(row.get("ID")), [])
        if place is None or not samples:
            return None
        values = [sample[place] for sample in samples]
        return Chart(_image(values, max(100.0, *values)), _words(values), WIDTH, HEIGHT)


def _words(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.1f} %"
    return f"{len(values)} samples, {min(values):.1f} to {max(values):.1f} %"


def _image(values: Sequence[float], top: float) -> str:
    """An SVG as an image's address: sanitizers that drop svg elements keep it. One sample is a bar, more are a line."""
    if len(values) == 1:
        width = min(values[0] / top, 1.0) * WIDTH
        drawn = f"<rect width='{width:.1f}' height='{HEIGHT}' fill='#2496ed'/>"
    else:
        step = WIDTH / (len(values) - 1)
        points = [(i * step, HEIGHT - 1 - v / top * (HEIGHT - 2)) for i, v in enumerate(values)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn = (
            f"<polygon points='0,{HEIGHT} {line} {WIDTH},{HEIGHT}' fill='#2496ed' fill-opacity='.25'/>"
            f"<polyline points='{line}' fill='none' stroke='#2496ed' stroke-width='1.5'/>"
        )
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}'>"
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#808080' fill-opacity='.15'/>{drawn}</svg>"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
