"""docker load: images from what ``docker save`` wrote (any version) and from OCI layouts.

Everything is read, verified and unpacked before the first image is added, so that a bad archive leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic.errors import DockmagicError, InvalidParameter, NotFound
from dockmagic.images import compression
from dockmagic.images.archive.members import Members
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.chain import chain_id
from dockmagic.images.index import choose
from dockmagic.images.manifest import DOCKER_LAYER, DOCKER_LAYER_GZIP, INDEXES, OCI_LAYER_ZSTD, Descriptor
from dockmagic.images.protocols import Layer
from dockmagic.images.reference import Reference
from dockmagic.images.registry.progress import Progress, Report
from dockmagic.images.streams import watched
from dockmagic.images.transfers import Transfer, transfer
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.images.store import Store, StoredImage

_FULL_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_DEPTH = 4
"""an index may list an index; none deeper than this is read"""
_SHOWN = 12
"""hex digits of a diff id that docker shows"""


@dataclass
class _Found:
    """An image in the archive: its config, the layers' blobs (digest, size) from the base up, and its names."""

    config: bytes
    layers: list[tuple[str, int]]
    names: list[Reference] = field(default_factory=list)


def load(store: Store, stream: BinaryIO, progress: Report | None = None) -> list[StoredImage]:
    """Load every image of an archive; ``progress`` gets docker's messages.

    ``stream`` need not be seekable. Raises InvalidParameter for what is no archive of images; then nothing is changed.
    """
    told = Progress(progress)
    with Members(store) as members, transfer(store) as keeping:
        members.read(stream)
        if members.has("manifest.json"):
            found = _of_docker(members)
        elif members.has("index.json"):
            found = _of_layout(members)
        else:
            raise InvalidParameter(
                "invalid archive: no manifest.json and no index.json in it, so it holds no images "
                "(a plain root file system can be imported with docker import)"
            )
        unpacked = [(image, _unpack(store, image, told, keeping)) for image in found]
        with store.database.transaction():
            loaded = [_add(store, image, layers, told) for image, layers in unpacked]
    for image, stored in zip(found, loaded, strict=True):
        for name in image.names:
            told.send({"stream": f"Loaded image: {name.familiar}\n"})
        if not image.names:
            told.send({"stream": f"Loaded image ID: {stored.id}\n"})
    return [store.get(stored.id) for stored in loaded]


def _of_docker(members: Members) -> list[_Found]:
    """What manifest.json lists (moby image/tarexport; docker-image-spec v1.2)."""
    entries = _json(members.document("manifest.json"), "manifest.json", list)
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("Config"), str):
            raise InvalidParameter("invalid archive: manifest.json lists an image without a config")
        layers = [members.blob(str(path)) for path in entry.get("Layers") or []]
        names = [_name(str(name)) for name in entry.get("RepoTags") or []]
        found.append(_Found(members.document(entry["Config"]), layers, names))
    return found


def _of_layout(members: Members) -> list[_Found]:
    """What index.json lists (OCI image-spec, image-layout.md)."""
    index = _json(members.document("index.json"), "index.json", dict)
    found: dict[str, _Found] = {}
    for entry in index.get("manifests") or []:
        descriptor = _descriptor(entry)
        manifest = _image_manifest(members, descriptor, 0)
        if manifest is None:
            continue  # an attestation, or an image whose blobs were left out
        config = _descriptor(manifest.get("config"))
        image = found.get(config.digest)
        if image is None:
            layers = [members.blob(_path(_descriptor(layer).digest)) for layer in manifest.get("layers") or []]
            image = found[config.digest] = _Found(members.document(_path(config.digest)), layers)
        name = _annotated(descriptor.annotations)
        if name is not None and name not in image.names:
            image.names.append(name)
    if not found:
        raise InvalidParameter("invalid archive: index.json lists no image that is in it")
    return list(found.values())


def _image_manifest(members: Members, descriptor: Descriptor, depth: int) -> dict[str, Any] | None:
    """The manifest behind a descriptor: of an index the one for this machine, else the first that is there."""
    if not members.has(_path(descriptor.digest)) or depth > _DEPTH:
        return None
    document = _json(members.document(_path(descriptor.digest)), descriptor.digest, dict)
    if descriptor.media_type in INDEXES or isinstance(document.get("manifests"), list):
        listed = [entry for entry in document.get("manifests") or [] if isinstance(entry, dict)]
        here = [entry for entry in listed if members.has(_path(str(entry.get("digest"))))]
        best = choose(here, Platform.host())
        for entry in ([best] if best is not None else []) + here:
            manifest = _image_manifest(members, _descriptor(entry), depth + 1)
            if manifest is not None:
                return manifest
        return None
    config = document.get("config")
    layers = document.get("layers")
    if not isinstance(config, dict) or not isinstance(layers, list):
        raise InvalidParameter(f"invalid archive: {descriptor.digest} is no manifest of an image")
    attestation = any("in-toto" in str(layer.get("mediaType")) for layer in layers if isinstance(layer, dict))
    return None if attestation else document


def _annotated(annotations: dict[str, str]) -> Reference | None:
    """The name that an index entry's annotations give. A bare tag names no image."""
    full, short = annotations.get(_FULL_NAME, ""), annotations.get(_REF_NAME, "")
    if full:
        return _name(full)
    return _name(short) if "/" in short or ":" in short else None


def _unpack(store: Store, image: _Found, told: Progress, keeping: Transfer) -> list[Layer]:
    """Verify the layers against the config by unpacking those that are not unpacked yet."""
    diff_ids = _diff_ids(image)
    layers: list[Layer] = []
    chain = ""
    for (digest, size), diff_id in zip(image.layers, diff_ids, strict=True):
        with store.content.open(digest) as blob:
            packed = compression.detect(blob.read(8))
        kind = {"none": DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}.get(packed)
        if kind is None:
            raise InvalidParameter(f"invalid archive: a layer is packed with {packed}")
        if kind == DOCKER_LAYER and digest != diff_id:
            raise DockmagicError(f"invalid diffID for layer {len(layers)}: expected {diff_id!r}, got {digest!r}")
        layer: Layer = BlobLayer(store.content, digest, size, kind, diff_id)
        layers.append(layer)
        if not store.snapshots.has(chain_id(chain, diff_id)):
            layer = _Watched(store, layer, told.moved)
        chain = keeping.unpack(chain, layer)
    return layers


def _diff_ids(image: _Found) -> list[str]:
    config = _json(image.config, "the config", dict)
    rootfs = config.get("rootfs")
    found = [str(diff_id) for diff_id in (rootfs.get("diff_ids") if isinstance(rootfs, dict) else None) or []]
    if len(found) != len(image.layers):
        counts = f"expected {len(image.layers)}, got {len(found)}"
        raise InvalidParameter(f"invalid manifest, layers length mismatch: {counts}")
    return found


def _add(store: Store, image: _Found, layers: list[Layer], told: Progress) -> StoredImage:
    stored = store.add(image.config, layers)
    for name in image.names:
        try:
            before = store.resolve(str(name))
        except NotFound:
            before = stored.id
        if before != stored.id:
            told.send(
                {
                    "stream": f"The image {name.familiar} already exists, renaming the old one with ID "
                    f"{before} to empty string\n"
                }
            )
        store.tag(stored.id, name)
    return stored


class _Watched(BlobLayer):
    """A layer that tells how much of it was read: docker's "Loading layer"."""

    def __init__(self, store: Store, layer: Layer, moved: Callable[[str, str, int, int], None]) -> None:
        super().__init__(store.content, layer.digest, layer.size, layer.media_type, layer.diff_id)
        self._moved = moved

    def open(self) -> BinaryIO:
        shown = self.diff_id.removeprefix("sha256:")[:_SHOWN]
        return watched(super().open(), lambda at: self._moved(shown, "Loading layer", at, self.size))


def _name(text: str) -> Reference:
    found = Reference.parse(text)
    return Reference(found.domain, found.path, found.tag or "latest")


def _path(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _descriptor(value: Any) -> Descriptor:
    try:
        return Descriptor.of(value)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidParameter("invalid archive: a descriptor in it can't be read") from None


def _json(data: bytes, what: str, kind: type) -> Any:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"invalid archive: {what} is no JSON: {error}") from None
    if not isinstance(found, kind):
        raise InvalidParameter(f"invalid archive: {what} has not the form it must have")
    return found
