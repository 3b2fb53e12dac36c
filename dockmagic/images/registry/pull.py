"""Pulling: a manifest, then its layers, three at a time into the content store, unpacked in order as they come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

from dockmagic.errors import DockmagicError, InvalidParameter, NotFound
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.chain import chain_id
from dockmagic.images.manifest import Descriptor
from dockmagic.images.protocols import Layer
from dockmagic.images.reference import Reference
from dockmagic.images.registry import manifests
from dockmagic.images.registry.download import CHUNK, BlobStream
from dockmagic.images.registry.parallel import together
from dockmagic.images.registry.progress import Progress
from dockmagic.images.registry.transport import Transport
from dockmagic.images.streams import watched
from dockmagic.images.transfers import Transfer, transfer
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.images.store import Store, StoredImage

WORKERS = 3  # as dockerd's max-concurrent-downloads
_SHOWN = 12
"""hex digits of a digest that docker shows"""


class Pull:
    """One image from one server."""

    def __init__(self, store: Store, transport: Transport, progress: Progress) -> None:
        self._store = store
        self._transport = transport
        self._progress = progress

    def run(self, reference: Reference, platform: Platform | None) -> StoredImage:
        """Pull ``reference``; the image, tagged and with its digest recorded."""
        wanted = platform or Platform.host()
        known = None if reference.digest else manifests.head(self._transport, reference.tag)
        digest = known.digest if known else reference.digest
        shown = reference.digest or reference.tag
        here = self._present(reference, digest, wanted)
        if here is not None:
            self._progress.message(shown, f"Pulling from {reference.path}")
            return self._finish(here, reference, digest)
        # by digest where HEAD told it: nobody can then move the tag between the two requests
        top = manifests.fetch(self._transport, digest or reference.tag, digest)
        self._progress.message(shown, f"Pulling from {reference.path}")
        manifest = manifests.for_platform(self._transport, top, wanted)
        config = manifests.fetch_config(self._transport, manifest.config)
        diff_ids = _diff_ids(config, manifest.layers)
        with transfer(self._store) as keeping:
            layers = self._layers(manifest.layers, diff_ids, keeping)
            image = self._store.add(config, layers)
        done = self._finish(image, reference, top.digest)
        has = Platform.of(image.config)
        if platform is not None and not platform.matches(has):  # an image of one platform; dockerd takes it too
            self._progress.say(
                f"WARNING: image with reference {reference.familiar} was found but does not match the specified "
                f"platform: wanted {platform}, actual: {has}"
            )
        return done

    def _present(self, reference: Reference, digest: str, wanted: Platform) -> StoredImage | None:
        """The image that the registry means, if it is here; an index's digest may stand for several."""
        if not digest:
            return None
        try:
            found = self._store.get(str(reference.with_digest(digest)))
        except NotFound:
            return None
        return found if wanted.matches(Platform.of(found.config)) else None

    def _finish(self, image: StoredImage, reference: Reference, digest: str) -> StoredImage:
        """Name the image. News is, as for dockerd, what the name did not stand for before."""
        named = reference.with_digest(reference.digest) if reference.digest else reference  # a digest outweighs a tag
        new = named not in self._store.names.of(image.id)
        if not reference.digest:
            self._store.tag(image.id, reference)
        self._store.add_digest(image.id, reference.with_digest(digest))
        self._progress.say(f"Digest: {digest}")
        what = "Downloaded newer image for" if new else "Image is up to date for"
        self._progress.say(f"Status: {what} {reference.familiar}")
        return self._store.get(image.id)

    def _layers(self, descriptors: list[Descriptor], diff_ids: list[str], keeping: Transfer) -> list[Layer]:
        """The image's layers, downloaded and unpacked where they are not here yet."""
        snapshots = self._store.snapshots
        chain, done = "", 0
        layers: list[Layer] = [
            BlobLayer(self._store.content, descriptor.digest, descriptor.size, descriptor.media_type, diff_id)
            for descriptor, diff_id in zip(descriptors, diff_ids, strict=True)
        ]
        for descriptor in descriptors:
            self._progress.step(_short(descriptor.digest), "Pulling fs layer")
        # layers at the bottom that are here already
        for layer, descriptor in zip(list(layers), descriptors, strict=True):
            following = chain_id(chain, layer.diff_id)
            if not snapshots.has(following):
                break
            if not self._store.content.has(descriptor.digest):  # built here, or packed otherwise: the same layer
                layers[done] = snapshots.layers.get(layer.diff_id)
            chain, done = keeping.unpack(chain, layers[done]), done + 1
            self._progress.step(_short(descriptor.digest), "Already exists")
        for descriptor in descriptors[done + WORKERS :]:
            self._progress.step(_short(descriptor.digest), "Waiting")
        with together(WORKERS, "pull", self._transport.stop) as submit:
            arrivals = [submit(self._download, descriptor) for descriptor in descriptors[done:]]
            for layer, descriptor, arrival in zip(layers[done:], descriptors[done:], arrivals, strict=True):
                arrival.result()
                shown = _short(descriptor.digest)
                chain = keeping.unpack(chain, _Watched(layer, self._progress, shown))
                self._progress.step(shown, "Pull complete")
        return layers

    def _download(self, descriptor: Descriptor) -> None:
        """Bring one blob into the content store, from where an earlier try broke off."""
        shown, total = _short(descriptor.digest), descriptor.size
        with self._store.content.ingest(descriptor.digest) as ingest:
            if not ingest.done:
                if ingest.offset > total:
                    ingest.restart()
                with BlobStream(
                    self._transport,
                    descriptor.digest,
                    total,
                    lambda at: self._progress.moved(shown, "Downloading", at, total),
                    lambda seconds: self._progress.retrying(shown, seconds),
                    ingest.offset,
                ) as stream:
                    while data := stream.read(CHUNK):
                        ingest.write(data)
                self._progress.step(shown, "Verifying Checksum")
                try:
                    ingest.commit()
                except InvalidParameter:
                    what = f"filesystem layer verification failed for digest {descriptor.digest}"
                    raise DockmagicError(what) from None
        self._progress.step(shown, "Download complete")


class _Watched:
    """A layer that tells how far it has been read: docker's "Extracting" counts compressed bytes."""

    def __init__(self, layer: Layer, progress: Progress, shown: str) -> None:
        self._layer = layer
        self._progress = progress
        self._shown = shown
        self.diff_id, self.digest = layer.diff_id, layer.digest
        self.media_type, self.size = layer.media_type, layer.size

    def open(self) -> BinaryIO:
        return watched(self._layer.open(), self._moved)

    def open_tar(self) -> BinaryIO:
        from dockmagic.images.compression import decompressed

        return decompressed(self.open())

    def _moved(self, current: int) -> None:
        self._progress.moved(self._shown, "Extracting", current, self.size)


def _diff_ids(config: bytes, layers: list[Descriptor]) -> list[str]:
    try:
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        found = [str(diff_id) for diff_id in diff_ids or []]
    except (ValueError, KeyError, TypeError):
        raise InvalidParameter("the image's config can't be read: it names no layers") from None
    if len(found) != len(layers):
        raise InvalidParameter("invalid rootfs in image configuration: not as many layers as in the manifest")
    return found


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHOWN]
