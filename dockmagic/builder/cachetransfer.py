"""``--cache-from`` and ``--cache-to``: the cache's records and layers in a registry, a folder, or the image itself.

What travels is an image whose config lists the records under ``dockmagic.cache.v1``, so that every registry takes it.
Keys are made of content alone; a record holds on any machine that has its layer.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.builder.bases import credentials
from dockmagic.builder.cache import BuildCache, Record
from dockmagic.builder.config import encode
from dockmagic.builder.exporters import OciLayout
from dockmagic.builder.request import BuildError, BuildRequest
from dockmagic.builder.vertexes import Reporter
from dockmagic.dockerfile.mounts import split_fields
from dockmagic.errors import DockmagicError, NotFound
from dockmagic.images.protocols import Image, Layer
from dockmagic.images.reference import Reference
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.images.registry import Registry
    from dockmagic.images.store import Store

FIELD = "dockmagic.cache.v1"


@dataclass(frozen=True)
class Place:
    """Where a cache is: ``kind`` registry, local or inline; ``where`` a reference or a folder."""

    kind: str
    where: str
    everything: bool = False
    """mode=max: all stages' steps, not the result's alone"""


def place_of(text: str, *, exporting: bool) -> Place:
    """``type=registry,ref=…``, ``type=local,src=…``, or a reference alone. Raises BuildError."""
    if "=" not in text:
        return Place("registry", text)
    values = dict(part.partition("=")[::2] for part in split_fields(text, "caches"))
    kind = values.get("type", "registry")
    everything = values.get("mode", "min") == "max"
    if kind == "registry":
        return Place(kind, values.get("ref", ""), everything)
    if kind == "local":
        return Place(kind, values.get("dest" if exporting else "src", ""), everything)
    if kind == "inline" and exporting:
        return Place(kind, "")
    raise BuildError(f'unknown cache {"exporter" if exporting else "importer"}: "{kind}"')


@dataclass
class CacheTransfer:
    """Brings caches in before a build, and takes them out after it."""

    store: Store
    registry: Registry
    cache: BuildCache
    request: BuildRequest
    reporter: Reporter
    brought: set[str] = field(default_factory=set)
    """Keys of records that came with a cache, and are not held by pins yet."""
    _images: list[str] = field(default_factory=list)

    def bring(self) -> None:
        """Import every cache that is named. One that is not there is told in the progress, and no failure."""
        for text in self.request.cache_from:
            place = place_of(text, exporting=False)
            vertex = self.reporter.vertex(f"importing cache manifest from {place.where}")
            with contextlib.suppress(DockmagicError), vertex.running():
                image = self._from_folder(Path(place.where)) if place.kind == "local" else self._pull(place.where)
                self._learn(image)

    def _pull(self, name: str) -> Image:
        reference = Reference.parse(name)
        try:
            return self.store.get(str(reference))
        except NotFound:
            auth = credentials(self.request.auth, reference.domain)
            image = self.registry.pull(reference, auth=auth)
            self._images.append(str(reference))
            return image

    def _from_folder(self, folder: Path) -> Image:
        try:
            config, layers = OciLayout.read(folder, self.store.content)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise NotFound(f"could not read {folder} cache: {error}") from error
        image = self.store.add(config, [self.store.snapshots.layers.keep(layer) for layer in layers])
        self._images.append(image.id)
        return image

    def _learn(self, image: Image) -> None:
        for entry in image.config.get(FIELD) or []:
            record = Record(**entry)
            if self.cache.find(record.key) is None:
                self.cache.save(record)
                self.brought.add(record.key)

    def forget(self, used: Iterable[str]) -> None:
        """After the build: what was brought and not used goes, as do the images that it came in."""
        for key in self.brought.difference(used):
            self.cache.remove(key)
        for name in self._images:
            with contextlib.suppress(DockmagicError):
                self.store.delete(name, force=True)

    def take(self, places: Sequence[Place], all_keys: Sequence[str], result_keys: Sequence[str]) -> None:
        """Export to every place. Raises BuildError and what the registry client raises."""
        for place in places:
            if place.kind == "inline":
                continue
            with self.reporter.vertex(f"exporting cache to {place.kind}").running():
                keys = all_keys if place.everything else result_keys
                config, layers = self._artifact(keys)
                if place.kind == "local":
                    OciLayout.write(Path(place.where), config, layers)
                else:
                    self._push(place.where, config, layers)

    def _push(self, name: str, config: bytes, layers: Sequence[Layer]) -> None:
        reference = Reference.parse(name)
        image = self.store.add(config, layers)
        self.store.tag(image.id, reference)
        try:
            self.registry.push(reference, credentials(self.request.auth, reference.domain))
        finally:
            with contextlib.suppress(DockmagicError):
                self.store.delete(str(reference), force=True)

    def _artifact(self, keys: Sequence[str]) -> tuple[bytes, list[Layer]]:
        found = entries(self.cache, keys)
        layers = self.store.snapshots.layers
        diff_ids = list(dict.fromkeys(entry["diff_id"] for entry in found if layers.has(entry["diff_id"])))
        host = Platform.host()
        document = {
            "architecture": host.architecture, "os": host.os, "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, FIELD: found,
        }  # fmt: skip
        return encode(document), [layers.get(diff_id) for diff_id in diff_ids]


def entries(cache: BuildCache, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Records as they travel."""
    found = (cache.find(key) for key in dict.fromkeys(keys))
    return [{**asdict(record), "used": 0, "uses": 0} for record in found if record is not None]


def config_with(config: bytes, cache: BuildCache, keys: Sequence[str]) -> bytes:
    """An image's config that carries its own records (BUILDKIT_INLINE_CACHE=1)."""
    return encode({**json.loads(config), FIELD: entries(cache, keys)})
