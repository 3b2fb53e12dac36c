"""Who talks to whom: client, engine, registries, images and containers, from the engine's real state."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic.views.view import View, clean, render

MOST = 12
"""How many images and containers are drawn; the rest is a number."""


class Flow(View):
    """``containers`` are (name, image, state)."""

    def __init__(
        self,
        url: str,
        version: str,
        registries: Sequence[str],
        images: Sequence[str],
        containers: Sequence[tuple[str, str, str]],
    ) -> None:
        self.url = url
        self.version = version
        self.registries = list(registries)
        self.images = list(images)
        self.containers = list(containers)

    def text(self) -> str:
        def line(text: str) -> str:
            return clean(text, lines=False)

        lines = ["client    %docker, %%dockerfile, dockmagic", "  |  Docker Engine API", f"engine    {line(self.url)}"]
        lines += [f"          version {line(self.version)}"]
        lines += [f"  |  pull, push: registry {line(r)}" for r in self.registries]
        lines += [f"images    {len(self.images)}", *(f"  - {line(i)}" for i in self.images[:MOST])]
        lines += _rest(len(self.images))
        lines += ["  |  create, start", f"containers {len(self.containers)}"]
        lines += [
            f"  - {line(name)} from {line(image)}: {line(state)}" for name, image, state in self.containers[:MOST]
        ]
        lines += _rest(len(self.containers))
        return "\n".join(lines)

    def html(self) -> str:
        return render("flow.html", flow=self, most=MOST)


def _rest(count: int) -> list[str]:
    return [f"  … and {count - MOST} more"] if count > MOST else []
