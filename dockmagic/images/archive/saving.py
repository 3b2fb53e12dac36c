"""docker save: an OCI layout that is a docker archive as well, as docker 25 and newer write it.

Layers travel plain, as docker writes them, or gzipped where only that form is kept; not as zstd, which dockerd before
version 23 can't read.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic.errors import DockmagicError, NotFound
from dockmagic.images import compression
from dockmagic.images.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from dockmagic.images.protocols import Layer
from dockmagic.images.reference import Reference, parse_any

if TYPE_CHECKING:
    from dockmagic.images.store import Store, StoredImage

_CHUNK = 256 << 10


@dataclass
class _Wanted:
    image: StoredImage
    names: list[Reference] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    """A file of the archive; ``open`` gives exactly ``size`` bytes."""

    size: int
    open: Callable[[], BinaryIO]
    mtime: int = 0


def save(store: Store, names: Sequence[str]) -> Iterator[bytes]:
    """The archive's bytes. A name with neither tag nor digest stands for all tags of that repository.

    Raises NotFound, InvalidParameter before the first byte.
    """
    return _archive(store, _wanted(store, names))


def _wanted(store: Store, names: Sequence[str]) -> list[_Wanted]:
    """The images to save, each once, with the names they are asked for by."""
    found: dict[str, _Wanted] = {}

    def want(image: StoredImage, *references: Reference) -> None:
        one = found.setdefault(image.id, _Wanted(image))
        one.names += [reference for reference in references if reference not in one.names]

    for name in names:
        reference = parse_any(name)
        if reference.path and not reference.tag and not reference.digest:
            everything = [
                (image, known)
                for image in store.list()
                for known in image.references
                if known.tag and known.name == reference.name
            ]
            for image, known in sorted(everything, key=lambda pair: pair[1].tag):
                want(image, known)
            if everything:
                continue
        image = store.get(name)  # an id, a digest or a tag
        tagged = reference.tag and not reference.digest and image.id == _tagged(store, reference)
        want(image, *([reference] if tagged else []))
    return list(found.values())


def _tagged(store: Store, reference: Reference) -> str:
    try:
        return store.resolve(str(reference))
    except NotFound:
        return ""


def _archive(store: Store, wanted: list[_Wanted]) -> Iterator[bytes]:
    files: dict[str, _File] = {}
    manifest_json: list[dict[str, Any]] = []
    index: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    for one in wanted:
        mtime = _seconds(one.image.created)
        layers = [_layer(store, layer, files, mtime) for layer in one.image.layers]
        config = _add(files, one.image.config_bytes, mtime)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(OCI_CONFIG, config, len(one.image.config_bytes)).json(),
            "layers": [layer.json() for layer in layers],
        }
        data = _json(document)
        digest = _add(files, data, mtime)
        for told in [_annotations(name) for name in one.names] or [{}]:
            index.append(Descriptor(OCI_MANIFEST, digest, len(data), annotations=told).json())
        manifest_json.append(
            {
                "Config": _path(config),
                "RepoTags": [name.familiar for name in one.names] or None,
                "Layers": [_path(layer.digest) for layer in layers],
            }
        )
        for name in one.names if layers else ():
            top = layers[-1].digest.removeprefix("sha256:")
            repositories.setdefault(name.familiar_name, {})[name.tag] = top
    yield _header("blobs/", 0, 0, folder=True)
    yield _header("blobs/sha256/", 0, 0, folder=True)
    for path in sorted(files):
        yield from _entry(path, files[path])
    documents: dict[str, Any] = {
        "index.json": {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": index},
        "manifest.json": manifest_json,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
    }
    if repositories:
        documents["repositories"] = repositories
    for path, document in documents.items():
        yield from _entry(path, _bytes(_json(document), 0))
    yield bytes(tarfile.RECORDSIZE)


def _layer(store: Store, layer: Layer, files: dict[str, _File], mtime: int) -> Descriptor:
    """A plain tar where there is one, else gzip; what is zstd, or only a folder so far, is written as a plain tar."""
    by_packing = {
        compression.of_media_type(kind): (digest, size)
        for digest, kind, size in store.snapshots.layers.blobs(layer.diff_id)
        if store.content.has(digest)
    }
    for packing, kind in (("none", OCI_LAYER), ("gzip", OCI_LAYER_GZIP)):
        if packing in by_packing:
            digest, size = by_packing[packing]
            files[_path(digest)] = _File(size, partial(store.content.open, digest), mtime)
            return Descriptor(kind, digest, size)
    size = _length(layer.open_tar)
    files[_path(layer.diff_id)] = _File(size, layer.open_tar, mtime)
    return Descriptor(OCI_LAYER, layer.diff_id, size)


def _annotations(name: Reference) -> dict[str, str]:
    return {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": name.tag}


def _add(files: dict[str, _File], data: bytes, mtime: int) -> str:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    files[_path(digest)] = _bytes(data, mtime)
    return digest


def _bytes(data: bytes, mtime: int) -> _File:
    import io

    return _File(len(data), lambda: io.BytesIO(data), mtime)


def _entry(path: str, file: _File) -> Iterator[bytes]:
    yield _header(path, file.size, file.mtime)
    left = file.size
    with file.open() as stream:
        while left:
            data = stream.read(min(_CHUNK, left))
            if not data:
                raise DockmagicError(f"{path} ended {left} bytes early while it was saved")
            left -= len(data)
            yield data
    yield bytes(-file.size % tarfile.BLOCKSIZE)


def _header(path: str, size: int, mtime: int, *, folder: bool = False) -> bytes:
    header = tarfile.TarInfo(path)
    header.size, header.mtime = size, mtime
    header.mode = 0o755 if folder else 0o644
    header.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    return header.tobuf(tarfile.GNU_FORMAT)


def _length(opener: Callable[[], BinaryIO]) -> int:
    """Bytes that a stream gives, found by reading it: a tar needs the length before the content."""
    length = 0
    with opener() as stream:
        while data := stream.read(_CHUNK):
            length += len(data)
    return length


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _seconds(created: str) -> int:
    """Seconds since the epoch of a config's date; 0 where it has none that can be read."""
    try:
        moment = datetime.fromisoformat(created[:19] + "+00:00")  # RFC 3339, in UTC as docker writes it
    except ValueError:
        return 0
    return max(0, int(moment.timestamp()))
