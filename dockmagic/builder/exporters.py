"""``--output``: the result as a folder, a tar, an OCI layout or docker's archive, instead of or besides the image."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic.builder.assemble import Built
from dockmagic.builder.copying import Copier, CopyOptions
from dockmagic.builder.metadata import Applier
from dockmagic.builder.outputs import NOTHING, loads
from dockmagic.builder.request import BuildRequest
from dockmagic.builder.tree import FolderTree, Tree, walk
from dockmagic.builder.vertexes import Reporter
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.content import Content
from dockmagic.images.protocols import Image, Layer
from dockmagic.images.reference import Reference

if TYPE_CHECKING:
    from dockmagic.images.store import Store

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_NAMES = {
    "local": "client directory", "tar": "client tarball", "oci": "oci image format", "docker": "docker image format",
}  # fmt: skip
_DEVICES = {stat.S_IFIFO: tarfile.FIFOTYPE, stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE}


def export(
    store: Store, images: Sequence[Image], built: Sequence[Built], request: BuildRequest, reporter: Reporter
) -> None:
    """Write every output of the request (see outputs.py). ``dest`` is a path on the engine's machine."""
    for output in request.outputs:
        kind = output.get("type", "")
        if kind in NOTHING or loads(output):
            continue
        with reporter.vertex(f"exporting to {_NAMES[kind]}").running():
            if kind in {"local", "tar"}:
                _files(store, built, kind, output)
            else:
                _archive(images, built, request.tags, kind, output["dest"], output)


def _files(store: Store, built: Sequence[Built], kind: str, output: dict[str, str]) -> None:
    destination = output["dest"]
    several = output.get("platform-split", "true" if len(built) > 1 else "false") == "true"
    with _Tar(destination) if kind == "tar" else _Folder(destination) as sink:
        for item in built:
            prefix = str(item.platform).replace("/", "_") if several else ""
            key = f"export-{uuid.uuid4().hex}"
            snapshot = store.snapshots.view(key, item.result.chain)
            try:
                sink.add(FolderTree(str(snapshot.path)), prefix)
            finally:
                store.snapshots.remove(key)


class _Folder:
    """A folder on the engine's machine that gets the files; owners are who runs the engine."""

    def __init__(self, destination: str) -> None:
        self._root = destination

    def __enter__(self) -> _Folder:
        os.makedirs(self._root, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def add(self, tree: Tree, prefix: str) -> None:
        owner = (os.geteuid(), os.getegid())
        copier = Copier(self._root, Applier(real_owners=os.geteuid() == 0))
        copier.copy(tree, "", f"/{prefix}/" if prefix else "/", CopyOptions(owner=owner))


class _Tar:
    """A tar of the files."""

    def __init__(self, destination: str) -> None:
        self._path = destination

    def __enter__(self) -> _Tar:
        self._tar = tarfile.open(self._path, "w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def add(self, tree: Tree, prefix: str) -> None:
        for path, entry in walk(tree):
            info = tarfile.TarInfo(f"{prefix}/{path}" if prefix else path)
            info.mode, info.uid, info.gid = entry.mode & 0o7777, entry.uid, entry.gid
            info.mtime = entry.mtime // 10**9
            if entry.is_folder:
                info.type = tarfile.DIRTYPE
                self._tar.addfile(info)
            elif entry.is_link:
                info.type, info.linkname = tarfile.SYMTYPE, entry.target
                self._tar.addfile(info)
            elif entry.is_file:
                info.size = entry.size
                descriptor, _ = tree.open_data(path, entry)
                with os.fdopen(descriptor, "rb") as data:
                    self._tar.addfile(info, data)
            elif stat.S_IFMT(entry.mode) in _DEVICES:
                info.type = _DEVICES[stat.S_IFMT(entry.mode)]
                info.devmajor, info.devminor = entry.device
                self._tar.addfile(info)


def _archive(
    images: Sequence[Image],
    built: Sequence[Built],
    tags: Sequence[str],
    kind: str,
    destination: str,
    output: dict[str, str],
) -> None:
    blobs = _Blobs(destination, folder=output.get("tar") == "false")
    with blobs:
        manifests = [blobs.image(image, item) for image, item in zip(images, built, strict=True)]
        top = manifests[0]
        if len(manifests) > 1:
            digest, size = blobs.blob(_json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}))
            top = {"mediaType": _INDEX, "digest": digest, "size": size}
        given = [name for name in output.get("name", "").split(",") if name] or tags
        references = [Reference.parse(name) for name in given]
        annotated = [{**top, "annotations": _named(reference)} for reference in references] or [top]
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": annotated}
        blobs.file("index.json", _json(index))
        blobs.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        if kind == "docker":
            described = [
                {
                    "Config": f"blobs/sha256/{image.id.removeprefix('sha256:')}",
                    "RepoTags": [reference.familiar for reference in references] or None,
                    "Layers": [f"blobs/sha256/{layer.digest.removeprefix('sha256:')}" for layer in image.layers],
                }
                for image in images
            ]
            blobs.file("manifest.json", _json(described))


def _named(reference: Reference) -> dict[str, str]:
    return {"io.containerd.image.name": str(reference), "org.opencontainers.image.ref.name": reference.tag}


class _Blobs:
    """An OCI layout, as a tar or as a folder."""

    def __init__(self, destination: str, *, folder: bool) -> None:
        self._destination = Path(destination)
        self._tar = None if folder else tarfile.open(destination, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._seen: set[str] = set()

    def __enter__(self) -> _Blobs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tar is not None:
            self._tar.close()

    def file(self, name: str, data: bytes) -> None:
        if self._tar is None:
            path = self._destination / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o644
        self._tar.addfile(info, io.BytesIO(data))

    def stream(self, name: str, source: BinaryIO, size: int) -> None:
        if self._tar is None:
            path = self._destination / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
            return
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o644
        self._tar.addfile(info, source)

    def blob(self, data: bytes) -> tuple[str, int]:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest not in self._seen:
            self._seen.add(digest)
            self.file(f"blobs/sha256/{digest[7:]}", data)
        return digest, len(data)

    def layer(self, layer: Layer) -> dict[str, Any]:
        if layer.digest not in self._seen:
            self._seen.add(layer.digest)
            with layer.open() as stream:
                self.stream(f"blobs/sha256/{layer.digest.removeprefix('sha256:')}", stream, layer.size)
        media_type = "application/vnd.oci.image.layer.v1.tar"
        media_type += "+zstd" if "zstd" in layer.media_type else "+gzip" if "gzip" in layer.media_type else ""
        return {"mediaType": media_type, "digest": layer.digest, "size": layer.size}

    def image(self, image: Image, built: Built) -> dict[str, Any]:
        layers = [self.layer(layer) for layer in image.layers]
        digest, size = self.blob(image.config_bytes)
        config = {"mediaType": _CONFIG, "digest": digest, "size": size}
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers}
        digest, size = self.blob(_json(manifest))
        platform = {"architecture": built.platform.architecture, "os": built.platform.os}
        if built.platform.variant:
            platform["variant"] = built.platform.variant
        return {"mediaType": _MANIFEST, "digest": digest, "size": size, "platform": platform}


class OciLayout:
    """One image as an OCI layout in a folder."""

    @staticmethod
    def write(folder: Path, config: bytes, layers: Sequence[Layer]) -> None:
        """Write it; what the folder holds already stays."""
        folder.mkdir(parents=True, exist_ok=True)
        blobs = _Blobs(str(folder), folder=True)
        described = [blobs.layer(layer) for layer in layers]
        digest, size = blobs.blob(config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest, "size": size},
            "layers": described,
        }
        digest, size = blobs.blob(_json(manifest))
        blobs.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": []}
        index["manifests"] = [{"mediaType": _MANIFEST, "digest": digest, "size": size}]
        blobs.file("index.json", _json(index))

    @staticmethod
    def read(folder: Path, content: Content) -> tuple[bytes, list[Layer]]:
        """Its config and layers, their blobs put into ``content``. Raises OSError, ValueError, KeyError, IndexError."""

        def blob(descriptor: dict[str, Any]) -> Path:
            algorithm, _, value = str(descriptor["digest"]).partition(":")
            return folder / "blobs" / algorithm / value

        index = json.loads((folder / "index.json").read_bytes())
        manifest = json.loads(blob(index["manifests"][0]).read_bytes())
        config = blob(manifest["config"]).read_bytes()
        diff_ids = json.loads(config)["rootfs"]["diff_ids"] or []
        layers: list[Layer] = []
        for descriptor, diff_id in zip(manifest["layers"], diff_ids, strict=True):
            with blob(descriptor).open("rb") as data:
                digest, size = content.put(data, descriptor["digest"])
            layers.append(BlobLayer(content, digest, size, descriptor["mediaType"], diff_id))
        return config, layers


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
