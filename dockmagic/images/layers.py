"""Layers at rest: each once, by its diff id, in the forms there are of it (a compressed blob, a folder, both)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from dockmagic.database import Database
from dockmagic.errors import InvalidParameter, NotFound
from dockmagic.images import compression
from dockmagic.images.content import Content
from dockmagic.images.manifest import DOCKER_LAYER_GZIP
from dockmagic.images.protocols import Layer

if TYPE_CHECKING:
    from dockmagic.images.snapshots.folders import Folders


class Layers:
    """The table of layers. A pulled one keeps its blob; a built one keeps none.

    Why none: its folder gives the same tar again at 500 MB/s and more, while keeping the tar would double the disk
    it takes, and compressing it with every build would cost more than the build (zlib 22 to 42 MB/s). The blob is
    made, and then kept, when it is first asked for, which is the first push.
    """

    def __init__(self, database: Database, content: Content, folders: Folders) -> None:
        self._database = database
        self.content = content
        self.folders = folders

    def keep(self, layer: Layer) -> StoredLayer:
        """Remember a layer whose blob is in the content store, or that is unpacked. Raises InvalidParameter."""
        if isinstance(layer, StoredLayer):
            return layer
        has_blob = self.content.has(layer.digest)
        if not has_blob and not self.folders.any_of(layer.diff_id):
            raise InvalidParameter(f"layer {layer.diff_id} is neither in the content store nor unpacked")
        with self._database.transaction() as tx:
            tx.execute("INSERT OR IGNORE INTO layer VALUES (?, NULL)", (layer.diff_id,))
            if has_blob:
                tx.execute(
                    "INSERT OR IGNORE INTO layer_blob VALUES (?, ?, ?, ?)",
                    (layer.digest, layer.diff_id, layer.media_type, layer.size),
                )
        return self.get(layer.diff_id)

    def get(self, diff_id: str) -> StoredLayer:
        return StoredLayer(self, diff_id)

    def has(self, diff_id: str) -> bool:
        return bool(self._database.query("SELECT 1 FROM layer WHERE diff_id = ?", (diff_id,)))

    def all(self) -> list[str]:
        """Every diff id."""
        return [row["diff_id"] for row in self._database.query("SELECT diff_id FROM layer")]

    def by_digest(self, digest: str) -> StoredLayer | None:
        """The layer whose compressed form has this digest, if it is known."""
        rows = self._database.query("SELECT diff_id FROM layer_blob WHERE digest = ?", (digest,))
        return self.get(rows[0]["diff_id"]) if rows else None

    def blobs(self, diff_id: str) -> list[tuple[str, str, int]]:
        """The compressed forms of a layer: (digest, media type, size), uncompressed ones last."""
        rows = self._database.query(
            "SELECT digest, media_type, size FROM layer_blob WHERE diff_id = ? ORDER BY digest = diff_id, digest",
            (diff_id,),
        )
        return [(row["digest"], row["media_type"], row["size"]) for row in rows]

    def content_size(self, diff_id: str) -> int:
        """Bytes of a layer's files, or of its smallest blob while it is not unpacked."""
        rows = self._database.query("SELECT size FROM layer WHERE diff_id = ? AND size IS NOT NULL", (diff_id,))
        return rows[0]["size"] if rows else min((size for _, _, size in self.blobs(diff_id)), default=0)

    def compress(self, diff_id: str) -> tuple[str, str, int]:
        """Make a layer's gzip form from its folder, and keep it: (digest, media type, size)."""
        with self.content.ingest() as ingest, self.folders.tar(diff_id) as tar:
            compression.copy(tar, ingest.write, compression.compressor("gzip"))
            digest, size = ingest.commit()
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT OR IGNORE INTO layer_blob VALUES (?, ?, ?, ?)", (digest, diff_id, DOCKER_LAYER_GZIP, size)
            )
        return digest, DOCKER_LAYER_GZIP, size


class StoredLayer:
    """A layer of the store (see protocols.Layer)."""

    def __init__(self, layers: Layers, diff_id: str) -> None:
        self._layers = layers
        self.diff_id = diff_id

    def __repr__(self) -> str:
        return f"StoredLayer({self.diff_id!r})"

    @property
    def digest(self) -> str:
        return self._blob()[0]

    @property
    def media_type(self) -> str:
        return self._blob()[1]

    @property
    def size(self) -> int:
        """Bytes of the compressed form. Asking makes it, when a built layer has none yet."""
        return self._blob()[2]

    @property
    def content_size(self) -> int:
        """Bytes of its files' content, what docker shows; of the compressed form while it is not unpacked."""
        return self._layers.content_size(self.diff_id)

    def open(self) -> BinaryIO:
        return self._layers.content.open(self._blob()[0])

    def open_tar(self) -> BinaryIO:
        """The uncompressed tar, from the blob or written again from the folder. Raises NotFound."""
        for digest, _, _ in self._layers.blobs(self.diff_id):
            try:
                return compression.decompressed(self._layers.content.open(digest))
            except NotFound:  # removed under our hands; the folder can still give it
                continue
        return self._layers.folders.tar(self.diff_id)

    def _blob(self) -> tuple[str, str, int]:
        for blob in self._layers.blobs(self.diff_id):
            if self._layers.content.has(blob[0]):
                return blob
        return self._layers.compress(self.diff_id)
