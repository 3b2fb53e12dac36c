"""The image itself: config, history and layers put together and named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dockmagic.builder.config import encode
from dockmagic.builder.model import StagePlan
from dockmagic.builder.outputs import keeps_image, names
from dockmagic.builder.request import BuildRequest
from dockmagic.builder.solver import Result
from dockmagic.builder.vertexes import Reporter
from dockmagic.images.protocols import Image, Layer
from dockmagic.images.reference import Reference
from dockmagic.platforms import Platform

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


@dataclass(frozen=True)
class Loose:
    """An image that is in no store: only written out."""

    config_bytes: bytes
    layers: Sequence[Layer]

    @property
    def id(self) -> str:
        return "sha256:" + hashlib.sha256(self.config_bytes).hexdigest()

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.config_bytes)
        return found


def assemble(
    store: Store,
    built: list[Built],
    request: BuildRequest,
    reporter: Reporter,
    finish: Callable[[bytes, Built], bytes] = lambda config, built: config,
) -> list[Image]:
    """The images, in the platforms' order; ``finish`` may change the config's bytes.

    They are put into the store, and the first gets its names, unless the request wants other outputs alone.
    """
    loose: list[Image] = [Loose(finish(encode(document(item)), item), item.result.layers) for item in built]
    if not keeps_image(request.outputs):
        return loose
    vertex = reporter.vertex("exporting to image", [item.result.vertex for item in built if item.result.vertex])
    with vertex.running():
        with vertex.timed("exporting layers"):
            images: list[Image] = [store.add(image.config_bytes, image.layers) for image in loose]
        with vertex.timed(f"writing image {images[0].id}"):
            pass
        for tag in request.tags or names(request.outputs):
            with vertex.timed(f"naming to {Reference.parse(tag)}"):
                store.tag(images[0].id, tag)
    return images
