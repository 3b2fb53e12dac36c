"""The few shapes that everything above the images knows: Layer, Image, Snapshots, Snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol


class Layer(Protocol):
    """A layer: a change set. Sources (store, registry, archive, folder) implement it; everything else takes it."""

    @property
    def diff_id(self) -> str:
        """sha256 digest of the uncompressed tar (OCI image-spec, config.md, "Layer DiffID")."""
        ...

    @property
    def digest(self) -> str:
        """sha256 digest of the bytes :meth:`open` gives."""
        ...

    @property
    def media_type(self) -> str: ...

    @property
    def size(self) -> int:
        """bytes of the compressed form"""
        ...

    def open(self) -> BinaryIO:
        """The compressed bytes, as a registry has them."""
        ...

    def open_tar(self) -> BinaryIO:
        """The uncompressed tar."""
        ...


class Image(Protocol):
    """An image: its config and its layers. Nothing mutates; a change makes a new image."""

    @property
    def id(self) -> str:
        """``sha256:…`` of the config's bytes, docker's image id."""
        ...

    @property
    def config(self) -> dict[str, Any]:
        """The OCI image config (architecture, os, config, rootfs, history, created, …), whole."""
        ...

    @property
    def config_bytes(self) -> bytes: ...

    @property
    def layers(self) -> Sequence[Layer]:
        """From the base up."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """A root on disk. ``path`` is the whole tree, ready to be read (and written, when it was prepared)."""

    key: str
    path: Path
    copy_on_write: bool = False
    """``path`` holds hard links into shared layers: who writes must copy up first."""


class Snapshots(Protocol):
    """Unpacked layers and the roots made of them. Overlay and clone implement it; the format on disk is the same.

    A chain id names a stack of layers (OCI image-spec, config.md, "Layer ChainID"); ``""`` is the empty root.
    """

    def unpack(self, parent: str, layer: Layer) -> str:
        """Put ``layer`` on the stack ``parent``; the new chain id. Once unpacked it costs nothing."""
        ...

    def has(self, chain: str) -> bool: ...

    def prepare(self, key: str, parent: str) -> Snapshot:
        """A writable root on top of the stack ``parent``, kept under ``key`` until :meth:`remove`."""
        ...

    def mount(self, key: str) -> Snapshot:
        """The root of ``key`` again (after a restart of the engine, say). Raises NotFound."""
        ...

    def view(self, key: str, parent: str) -> Snapshot:
        """A root to read only, kept under ``key`` until :meth:`remove`."""
        ...

    def changes(self, key: str) -> list[tuple[int, str]]:
        """docker diff: (kind, path) sorted by path; kind 0 changed, 1 added, 2 deleted."""
        ...

    def commit(self, key: str) -> tuple[str, Layer] | None:
        """Make what was written in ``key`` a layer on its parent: (chain id, layer); None when nothing changed.

        Deterministic: the same tree and metadata give the same diff id, on every tier. The snapshot is used up:
        it is gone afterwards, and its chain can be prepared again.
        """
        ...

    def diff(self, key: str) -> Layer | None:
        """The same layer without using up the snapshot (docker commit of a running container)."""
        ...

    def usage(self, key: str) -> int:
        """bytes written in ``key``"""
        ...

    def remove(self, key: str) -> None: ...
