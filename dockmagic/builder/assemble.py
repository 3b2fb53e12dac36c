"""The image itself: config, history and layers put together and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockmagic.builder.config import encode
from dockmagic.builder.model import StagePlan
from dockmagic.builder.platforms import Platform
from dockmagic.builder.request import BuildRequest
from dockmagic.builder.solver import Result
from dockmagic.builder.vertexes import Reporter
from dockmagic.images.protocols import Image

if TYPE_CHECKING:
    from dockmagic.images.store import Store


@dataclass(frozen=True)
class Built:
    """One platform's target and its result. ``epoch`` is SOURCE_DATE_EPOCH in seconds."""

    plan: StagePlan
    result: Result
    epoch: int | None
    platform: Platform


def document(built: Built) -> dict[str, object]:
    """The image's config."""
    assert built.plan.config is not None, "a planned target has a config"
    layers = built.result.layers
    return built.plan.config.finish([layer.diff_id for layer in layers], built.result.created, built.epoch)


def assemble(
    store: Store,
    built: list[Built],
    request: BuildRequest,
    reporter: Reporter,
    finish: Callable[[bytes, Built], bytes] = lambda config, built: config,
) -> list[Image]:
    """Put the images into the store and tag the first. Their order is that of the platforms; ``finish`` may change the
    config's bytes."""
    vertex = reporter.vertex("exporting to image", [item.result.vertex for item in built if item.result.vertex])
    with vertex.running():
        images: list[Image] = [store.add(finish(encode(document(item)), item), item.result.layers) for item in built]
        for tag in request.tags:
            store.tag(images[0].id, tag)
    return images
