"""docker import: a plain root file system, as a tar, becomes an image of one layer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic.images import compression
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.manifest import DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER_ZSTD
from dockmagic.images.reference import Reference
from dockmagic.images.streams import prefixed
from dockmagic.images.transfers import transfer
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.images.store import Store, StoredImage

_CHUNK = 1 << 20


def import_tar(
    store: Store,
    stream: BinaryIO,
    name: str = "",
    *,
    config: Mapping[str, Any] | None = None,
    message: str = "",
    platform: str = "",
) -> StoredImage:
    """Make an image of the tar ``stream``, packed or not; tagged ``name`` unless that is empty.

    ``config`` is the image's ``config`` object, with the changes of ``docker import --change`` in it already.
    Raises InvalidParameter for what is no tar; then nothing is left behind.
    """
    reference = Reference.parse(name) if name else None
    wanted = Platform.parse(platform) if platform else Platform.host()
    with transfer(store) as keeping:
        layer, new = _layer(store, stream)
        try:
            keeping.unpack("", layer)
        except BaseException:
            if new:
                store.content.remove(layer.digest)
            raise
        return _image(store, layer, reference, wanted, config or {}, message)


def _image(
    store: Store,
    layer: BlobLayer,
    reference: Reference | None,
    wanted: Platform,
    config: Mapping[str, Any],
    message: str,
) -> StoredImage:
    created = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    fields: dict[str, Any] = {
        "architecture": wanted.architecture,
        "os": wanted.os,
        "created": created,
        "comment": message,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": created, "comment": message}],
    }
    if wanted.variant:
        fields["variant"] = wanted.variant
    with store.database.transaction():
        image = store.add(json.dumps(fields, separators=(",", ":")).encode(), [layer])
        if reference is not None:
            store.tag(image.id, reference)
    return store.get(image.id)


def _layer(store: Store, stream: BinaryIO) -> tuple[BlobLayer, bool]:
    """The tar as a layer, and whether its blob is new. gzip and zstd stay as they are; else it is stored unpacked."""
    head = stream.read(8)
    packed = compression.detect(head)
    whole: BinaryIO = prefixed(head, stream)
    if packed in ("xz", "bzip2"):
        whole = compression.decompressed(whole)
    seen = hashlib.sha256()
    with store.content.ingest() as ingest:
        while data := whole.read(_CHUNK):
            ingest.write(data)
            seen.update(data)
        new = not store.content.has("sha256:" + seen.hexdigest())
        digest, size = ingest.commit()
    kind = {"gzip": DOCKER_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}.get(packed, DOCKER_LAYER)
    diff_id = digest
    if kind != DOCKER_LAYER:
        try:
            diff_id = _digest(compression.decompressed(store.content.open(digest)))
        except BaseException:
            if new:
                store.content.remove(digest)
            raise
    return BlobLayer(store.content, digest, size, kind, diff_id), new


def _digest(stream: BinaryIO) -> str:
    seen = hashlib.sha256()
    with stream:
        while data := stream.read(_CHUNK):
            seen.update(data)
    return "sha256:" + seen.hexdigest()
