"""Pushing: layers that the registry has not yet, then the config, then the manifest that names them all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dockmagic.images import compression
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
)
from dockmagic.images.protocols import Layer
from dockmagic.images.reference import Reference
from dockmagic.images.registry.parallel import together
from dockmagic.images.registry.progress import Progress
from dockmagic.images.registry.transport import Transport
from dockmagic.images.registry.upload import Blob, Upload, exists

if TYPE_CHECKING:
    from dockmagic.images.store import Store, StoredImage

WORKERS = 5  # as dockerd's max-concurrent-uploads
_MOUNT_TRIES = 3
_SHOWN = 12
"""hex digits of a digest that docker shows"""


class Push:
    """One image to one server."""

    def __init__(self, store: Store, transport: Transport, progress: Progress) -> None:
        self._store = store
        self._transport = transport
        self._progress = progress
        self._upload = Upload(transport)

    def run(self, image: StoredImage, reference: Reference) -> str:
        """Push ``image`` as ``reference``; the manifest's digest, which the store then knows the image by."""
        self._transport.connect()
        for layer in reversed(image.layers):
            self._progress.step(_short(layer.diff_id), "Preparing")
        for layer in list(reversed(image.layers))[WORKERS:]:
            self._progress.step(_short(layer.diff_id), "Waiting")
        sources = self._sources(image, reference)
        descriptors = self._layers(image.layers, sources)
        config = self._blob(image.config_bytes)
        if not exists(self._transport, config.digest):
            self._upload.send(config, lambda at: None, lambda seconds: None)
        data, kind = manifest(descriptors, config)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        headers = {"Content-Type": kind}
        self._transport.request(
            "PUT", f"manifests/{reference.tag}", headers=headers, body=lambda: data, expect=(201, 200)
        ).close()
        self._store.add_digest(image.id, reference.with_digest(digest))
        self._progress.say(f"{reference.tag}: digest: {digest} size: {len(data)}")
        aux = {"Tag": reference.tag, "Digest": digest, "Size": len(data)}
        self._progress.send({"progressDetail": {}, "aux": aux})
        return digest

    def _layers(self, layers: Sequence[Layer], sources: dict[str, list[str]]) -> list[Descriptor]:
        """Send what is missing; the descriptors from the base up. The first failure ends the others."""
        with together(WORKERS, "push", self._transport.stop) as submit:
            top_first = [(layer, submit(self._layer, layer, sources)) for layer in reversed(_once(layers))]
            by_diff_id = {layer.diff_id: future.result() for layer, future in top_first}
        return [by_diff_id[layer.diff_id] for layer in layers]

    def _layer(self, layer: Layer, sources: dict[str, list[str]]) -> Descriptor:
        shown = _short(layer.diff_id)
        packed = self._packed(layer)
        descriptor = Descriptor(packed.media_type, packed.digest, packed.size)
        if exists(self._transport, packed.digest):
            self._progress.step(shown, "Layer already exists")
            return descriptor
        for repository in sources.get(layer.diff_id, [])[:_MOUNT_TRIES]:
            if self._upload.mount(packed.digest, repository):
                self._progress.step(shown, f"Mounted from {repository}")
                return descriptor
        self._upload.send(
            Blob(packed.digest, packed.size, packed.open),
            lambda at: self._progress.moved(shown, "Pushing", at, packed.size),
            lambda seconds: self._progress.retrying(shown, seconds),
        )
        self._progress.step(shown, "Pushed")
        return descriptor

    def _packed(self, layer: Layer) -> Layer:
        """The layer as it travels: packed. A plain one is packed once and kept so, for the next push."""
        if compression.of_media_type(layer.media_type) != "none":
            return layer
        with self._store.content.ingest() as ingest, layer.open_tar() as tar:
            compression.copy(tar, ingest.write, compression.compressor("gzip"))
            digest, size = ingest.commit()
        packed = BlobLayer(self._store.content, digest, size, DOCKER_LAYER_GZIP, layer.diff_id)
        self._store.snapshots.layers.keep(packed)
        return packed

    def _sources(self, image: StoredImage, reference: Reference) -> dict[str, list[str]]:
        """By diff id, the repositories of the same registry that have a layer: where its image was pulled or pushed."""
        found: dict[str, list[str]] = {}
        wanted = {layer.diff_id for layer in image.layers}
        for other in self._store.list():
            paths = {
                known.path
                for known in other.references
                if known.digest and known.domain == reference.domain and known.path != reference.path
            }
            for diff_id in wanted.intersection(other.diff_ids) if paths else ():
                found.setdefault(diff_id, []).extend(path for path in sorted(paths) if path not in found[diff_id])
        return found

    def _blob(self, data: bytes) -> Blob:
        return Blob("sha256:" + hashlib.sha256(data).hexdigest(), len(data), lambda: io.BytesIO(data))


def manifest(layers: list[Descriptor], config: Blob) -> tuple[bytes, str]:
    """(manifest, media type). OCI's form where a layer has an OCI type or is packed with zstd, else Docker's.

    Written as dockerd writes it (three spaces), so that an image it pushed keeps its digest.
    """
    oci = any(layer.media_type.startswith("application/vnd.oci.") for layer in layers)
    oci = oci or any(compression.of_media_type(layer.media_type) == "zstd" for layer in layers)
    kind = OCI_MANIFEST if oci else DOCKER_MANIFEST
    fields = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {
            "mediaType": OCI_CONFIG if oci else DOCKER_CONFIG,
            "size": config.size,
            "digest": config.digest,
        },
        "layers": [
            {"mediaType": _layer_type(layer.media_type, oci), "size": layer.size, "digest": layer.digest}
            for layer in layers
        ],
    }
    return json.dumps(fields, indent=3).encode(), kind


def _layer_type(media_type: str, oci: bool) -> str:
    if not oci:
        return DOCKER_LAYER_GZIP
    return OCI_LAYER_ZSTD if compression.of_media_type(media_type) == "zstd" else OCI_LAYER_GZIP


def _once(layers: Sequence[Layer]) -> list[Layer]:
    return list({layer.diff_id: layer for layer in layers}.values())


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHOWN]
