"""The images at rest: what there is, under which names, made of which layers. Deleting is deletion.py's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dockmagic.database import Database
from dockmagic.errors import InvalidParameter, NotFound
from dockmagic.images import deletion
from dockmagic.images.chain import chain_id
from dockmagic.images.content import Content
from dockmagic.images.deletion import InUse
from dockmagic.images.layers import StoredLayer
from dockmagic.images.names import Names
from dockmagic.images.protocols import Layer
from dockmagic.images.reference import DEFAULT_TAG, Reference, parse_any, parse_normalized
from dockmagic.images.schema import MIGRATIONS, ROOM

if TYPE_CHECKING:
    from dockmagic.images.snapshots.service import LayerSnapshots

_ID_PREFIX = re.compile(r"(sha256:)?([0-9a-f]{1,64})")


@dataclass(frozen=True)
class StoredImage:
    """An image of the store as it was when it was asked for (see protocols.Image)."""

    id: str
    config_bytes: bytes = field(repr=False)
    layers: list[StoredLayer] = field(repr=False)
    size: int
    """Bytes of all its files' content, layer by layer; for layers not unpacked yet, of their compressed form."""
    parent: str = ""
    """Id of the image it was built or committed from, or empty."""
    references: tuple[Reference, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.config_bytes)
        return decoded

    @property
    def created(self) -> str:
        """RFC 3339, as its config says; may be empty."""
        return str(self.config.get("created") or "")

    @property
    def tags(self) -> list[str]:
        """RepoTags: ``alpine:latest``."""
        return [reference.familiar for reference in self.references if not reference.digest]

    @property
    def digests(self) -> list[str]:
        """RepoDigests: ``alpine@sha256:…``."""
        return [reference.familiar for reference in self.references if reference.digest]

    @property
    def diff_ids(self) -> list[str]:
        return [layer.diff_id for layer in self.layers]


_Images: TypeAlias = "list[StoredImage]"  # inside Store the word list is a method's
_Records: TypeAlias = "list[dict[str, str]]"
_Texts: TypeAlias = "list[str]"


class Store:
    """The image store. Thread-safe; every change is one transaction."""

    def __init__(self, root: Path, database: Database, snapshots: LayerSnapshots) -> None:
        self.root = root
        self.database = database
        self.snapshots = snapshots
        self.content: Content = snapshots.content
        database.migrate(ROOM, MIGRATIONS)
        self.names = Names(database)

    def get(self, name: str) -> StoredImage:
        """By reference, id, or the beginning of an id that only one image has.

        Raises NotFound(f"No such image: {name}"), and InvalidParameter for what can be no name.
        """
        return self._load([self.resolve(name)])[0]

    def resolve(self, name: str) -> str:
        """The id of the image that :meth:`get` would give; the same errors."""
        reference = parse_any(name)
        if not reference.path:
            if self.database.query("SELECT 1 FROM image WHERE id = ?", (reference.digest,)):
                return reference.digest
            raise NotFound(f"No such image: {reference.digest}")
        found = self.names.resolve(reference)
        if found:
            return found
        prefix = _ID_PREFIX.fullmatch(name)
        if prefix:
            rows = self.database.query("SELECT id FROM image WHERE id GLOB ?", (f"sha256:{prefix.group(2)}*",))
            if len(rows) == 1:
                return str(rows[0]["id"])
        raise NotFound(f"No such image: {Reference.parse(name).familiar}")

    def has(self, image_id: str) -> bool:
        return bool(self.database.query("SELECT 1 FROM image WHERE id = ?", (image_id,)))

    def list(self) -> _Images:
        """Every image, the newest first."""
        rows = self.database.query("SELECT id FROM image")
        images = self._load([row["id"] for row in rows])
        return sorted(images, key=lambda image: (image.created, image.id), reverse=True)

    def children(self, image_id: str) -> _Texts:
        """Ids of the images built on this one."""
        return [row["id"] for row in self.database.query("SELECT id FROM image WHERE parent = ?", (image_id,))]

    def add(self, config: bytes, layers: Sequence[Layer], parent: str = "") -> StoredImage:
        """Keep an image; the same image twice is one. Nothing is unpacked.

        The layers' blobs must be in :attr:`content`, or the layers made by :attr:`snapshots`. Raises
        InvalidParameter when the config does not list exactly these layers.
        """
        try:
            listed = json.loads(config)["rootfs"].get("diff_ids") or []
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidParameter("invalid image config: no rootfs") from None
        if listed != [layer.diff_id for layer in layers]:
            raise InvalidParameter("invalid image config: its diff_ids are not those of its layers")
        image_id = "sha256:" + hashlib.sha256(config).hexdigest()
        with self.database.transaction() as tx:
            for layer in layers:
                self.snapshots.layers.keep(layer)
            added = tx.execute("INSERT OR IGNORE INTO image VALUES (?, ?, ?)", (image_id, config, parent))
            if added.rowcount:
                tx.executemany(
                    "INSERT INTO image_layer VALUES (?, ?, ?)",
                    [(image_id, position, layer.diff_id) for position, layer in enumerate(layers)],
                )
        return self._load([image_id])[0]

    def tag(self, image_id: str, reference: Reference | str) -> None:
        """Give an image a name; ``latest`` when it has no tag. Another image of that name loses it.

        Raises InvalidParameter, and NotFound when there is no such image.
        """
        found = parse_normalized(reference) if isinstance(reference, str) else reference
        if found.digest:
            raise InvalidParameter("refusing to create a tag with a digest reference")
        if not self.has(image_id):
            raise NotFound(f"No such image: {image_id}")
        self.names.add(found if found.tag else found.with_tag(DEFAULT_TAG), image_id)

    def add_digest(self, image_id: str, reference: Reference) -> None:
        """Remember that a registry has the image under ``reference``, a name with the digest of its manifest."""
        self.names.add(Reference(reference.domain, reference.path, "", reference.digest), image_id)

    def delete(
        self,
        name: str,
        force: bool = False,
        prune: bool = True,
        in_use: Callable[[str], InUse | str | None] = lambda image_id: None,
    ) -> _Records:
        """Untag or remove an image as ``docker rmi`` does: what was done, in order ({"Untagged"} or {"Deleted"}).

        ``in_use`` tells a container of an image (its id: a stopped one). Raises NotFound and Conflict.
        """
        return deletion.delete(self, name, force, prune, in_use)

    def chain(self, image: StoredImage) -> str:
        """The image's chain id, after unpacking what is not unpacked yet."""
        whole = self.chain_of(image.diff_ids)
        if self.snapshots.has(whole):
            return whole
        chain = ""
        for layer in image.layers:
            chain = self.snapshots.unpack(chain, layer)
        return chain

    def chain_of(self, diff_ids: Sequence[str]) -> str:
        """The chain id of a stack of layers, whether it is unpacked or not."""
        chain = ""
        for diff_id in diff_ids:
            chain = chain_id(chain, diff_id)
        return chain

    def _load(self, ids: Sequence[str]) -> _Images:
        one = ids[0] if len(ids) == 1 else None
        where, parameters = ("WHERE image = ?", (one,)) if one else ("", ())
        names = self.names.all(where, parameters)
        layers: dict[str, _Texts] = {}
        sizes: dict[str, int] = {}
        for row in self.database.query(
            "SELECT image, diff_id, COALESCE(layer.size, "
            "(SELECT MIN(size) FROM layer_blob b WHERE b.diff_id = layer.diff_id), 0) AS size "
            f"FROM image_layer JOIN layer USING (diff_id) {where} ORDER BY image, position",
            parameters,
        ):
            layers.setdefault(row["image"], []).append(row["diff_id"])
            sizes[row["image"]] = sizes.get(row["image"], 0) + row["size"]
        rows = self.database.query(
            "SELECT id, config, parent FROM image" + (" WHERE id = ?" if one else ""), parameters
        )
        images = [
            StoredImage(
                row["id"],
                bytes(row["config"]),
                [self.snapshots.layers.get(diff_id) for diff_id in layers.get(row["id"], [])],
                sizes.get(row["id"], 0),
                row["parent"],
                tuple(names.get(row["id"], ())),
            )
            for row in rows
        ]
        if one and not images:  # removed by someone else since it was resolved
            raise NotFound(f"No such image: {one}")
        return images
