"""The snapshots: stacks of unpacked layers, and the roots made of them. Every tier uses this one store.

On disk, below the data root: ``layers/NUMBER`` (folders.py), ``snapshots/NUMBER/`` with ``upper``, ``work`` and
``merged`` of an overlay or ``root`` of a clone, and ``trash/``. What is there is what the database says; a crash
leaves orphans, which go when the store is opened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from dockmagic.database import Database
from dockmagic.errors import Conflict, NotFound
from dockmagic.images import tarwriter
from dockmagic.images.attributes import Owners
from dockmagic.images.chain import chain_id
from dockmagic.images.content import Content
from dockmagic.images.files import clear_disk_errors
from dockmagic.images.layers import Layers, StoredLayer
from dockmagic.images.pipeline import HashedReader
from dockmagic.images.protocols import Layer, Snapshot
from dockmagic.images.schema import MIGRATIONS, ROOM
from dockmagic.images.snapshots import chains, committing, overlay
from dockmagic.images.snapshots.changes import ChangeSet, Form, compare
from dockmagic.images.snapshots.clone import clone
from dockmagic.images.snapshots.committing import copy_root
from dockmagic.images.snapshots.folders import Folders
from dockmagic.images.snapshots.locks import KeyedLocks
from dockmagic.images.snapshots.record import Folder
from dockmagic.images.snapshots.stack import Stack
from dockmagic.images.snapshots.table import Row, Table
from dockmagic.images.snapshots.trash import Trash

Overlay = Literal["", "userxattr", "no"]


class LayerSnapshots:
    """See protocols.Snapshots. Made by :func:`dockmagic.images.snapshots.open_snapshots`. Thread-safe."""

    def __init__(
        self, root: Path, content: Content, database: Database, overlay_form: Overlay, owners: Owners, copy_up: bool
    ) -> None:
        database.migrate(ROOM, MIGRATIONS)
        self.content = content
        self._overlay: Overlay = overlay_form
        self._copy_up = copy_up
        self._root = root / "snapshots"
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._trash = Trash(root / "trash")
        self.folders = Folders(root / "layers", database, owners, self._trash)
        self.layers = Layers(database, content, self.folders)
        self.chains = chains.Chains(database)
        self._locks = KeyedLocks()
        self._table = Table(database, self._root)
        self._empty = root / "empty"
        self._clean()

    # Stacks of layers

    def has(self, chain: str) -> bool:
        """Whether the stack is there (``""`` always is)."""
        return not chain or self.chains.has(chain)

    def unpack(self, parent: str, layer: Layer) -> str:
        """Put ``layer`` on the stack ``parent``; the new chain id. Once unpacked it costs nothing.

        Raises NotFound when ``parent`` is not there, InvalidParameter for a layer that is malformed or not what its
        diff id says, DockmagicError when the disk is full. Then nothing has changed.
        """
        chain = chain_id(parent, layer.diff_id)
        if self.chains.has(chain) and self.folders.find(layer.diff_id, parent):
            return chain
        below = self.stack(parent)
        self._folder(layer, parent, below.folders)
        self.layers.keep(layer)
        self.chains.add(chain, parent, layer.diff_id)
        return chain

    def stack(self, chain: str) -> Stack:
        """The unpacked layers of a chain; what another tier unpacked in its own way is unpacked again in ours."""
        folders: list[Folder] = []
        parent = ""
        for name, diff_id in self.chains.layers(chain):
            folders.append(self._folder(self.layers.get(diff_id), parent, folders))
            parent = name
        return Stack(folders)

    def _folder(self, layer: Layer, parent: str, below: Sequence[Folder]) -> Folder:
        """The layer unpacked so that it fits on the chain ``parent``, whose folders are ``below``."""
        found = self.folders.find(layer.diff_id, parent)
        if found is not None and (not found.record.implicit or not below or self._fits(found, below)):
            return found
        with self._locks("layer " + layer.diff_id):
            again = self.folders.find(layer.diff_id, parent)
            if again is not None and (found is None or again.number != found.number):
                return again  # another thread was quicker
            return self.folders.unpack(layer, parent, Stack(below).find)

    def _fits(self, folder: Folder, below: Sequence[Folder]) -> bool:
        return self.folders.fits(folder, Stack(below).find)

    # Roots

    def prepare(self, key: str, parent: str, *, volatile: bool = False) -> Snapshot:
        """A writable root on top of the stack ``parent``, kept under ``key`` until :meth:`remove`.

        ``volatile``: its content may be lost when the machine crashes; a build step's, which is then run again.
        Raises NotFound when there is no such stack, Conflict when the key is taken.
        """
        return self._make(key, parent, True, volatile)

    def view(self, key: str, parent: str) -> Snapshot:
        """A root to read only, kept under ``key`` until :meth:`remove`. Raises as :meth:`prepare`."""
        return self._make(key, parent, False, False)

    def mount(self, key: str) -> Snapshot:
        """The root of ``key`` again (after a restart of the engine, say). Raises NotFound."""
        with self._locks("key " + key):
            row = self._table.get(key)
            if row.form == "overlay":
                self._mount(row, self.stack(row.parent))
            return _snapshot(row)

    def remove(self, key: str) -> None:
        """Unmount and remove ``key``; nothing when it is not there."""
        with self._locks("key " + key):
            try:
                row = self._table.get(key)
            except NotFound:
                return
            self._drop(row)

    def keys(self) -> list[str]:
        """The keys of all roots."""
        return [row.key for row in self._table.all()]

    def parent(self, key: str) -> str:
        """The stack that ``key`` was made on. Raises NotFound."""
        return self._table.get(key).parent

    # What was written

    def changes(self, key: str) -> list[tuple[int, str]]:
        """docker diff: (kind, path) sorted by path; kind 0 changed, 1 added, 2 deleted."""
        return self._compare(self._table.get(key))[1].listing()

    def usage(self, key: str) -> int:
        """bytes written in ``key``: of the files in it that the layers below don't have"""
        return self._compare(self._table.get(key))[1].size

    def commit(self, key: str, *, epoch: int | None = None) -> tuple[str, Layer] | None:
        """Make what was written in ``key`` a layer on its parent: (chain id, layer); None when nothing changed.

        The snapshot is used up. ``epoch`` (seconds, SOURCE_DATE_EPOCH): no file's time is later than this.
        """
        with self._locks("key " + key):
            row = self._table.get(key)
            if row.form == "overlay":
                overlay.unmount(row.path)
            stack, changes = self._compare(row)
            if not changes.changes:
                self._drop(row)
                return None
            with clear_disk_errors(f"commit {key}"):
                if row.form == "overlay":
                    tree = row.upper
                    record = committing.from_upper(tree, changes, self._overlay_form)
                else:
                    tree = self.folders.new_tree()
                    copy_root(stack, tree, row.owners)
                    record = committing.from_clone(tree, changes, row.owners)
                if epoch is not None:
                    committing.clamp_times(tree, epoch)
                diff_id, size = self.folders.digest(tree, record)
                self.folders.add(tree, diff_id, record, size)
            chain = chain_id(row.parent, diff_id)
            self.chains.add(chain, row.parent, diff_id)
            self._drop(row)
            return chain, self.layers.get(diff_id)

    def diff(self, key: str) -> Layer | None:
        """The same layer without using up the snapshot (docker commit of a running container)."""
        changes = self._compare(self._table.get(key))[1]
        if not changes.changes:
            return None
        return self.add_tar(tarwriter.stream(tarwriter.write_tar(changes.items(), self.folders.owners)))

    def add_tar(self, tar: BinaryIO) -> StoredLayer:
        """A layer whose diff id is not known before: unpack the (uncompressed) tar and keep it."""
        with HashedReader(tar) as reader:
            diff_id = self.folders.take(reader)
        return self.layers.get(diff_id)

    def export(self, key: str) -> Iterator[bytes]:
        """The whole tree of ``key`` as a tar (docker export)."""
        path = self.mount(key).path
        return tarwriter.write_tar(tarwriter.walk(os.fsencode(path)), self.folders.owners)

    # Keeping and letting go

    def pin(self, owner: str, chain: str) -> None:
        """Keep a stack though no image has it (the build cache's), until :meth:`unpin`."""
        self.chains.pin(owner, chain)

    def unpin(self, owner: str) -> None:
        """Let go of what ``owner`` pinned; what nobody else has goes."""
        self.release(self.chains.unpin(owner))
        self.collect()

    def release(self, diff_ids: Sequence[str]) -> list[str]:
        """Forget the stacks and layers among ``diff_ids`` that no image, root or pin has any more.

        The chain ids forgotten, the topmost first. Files go with :meth:`collect`, after the transaction.
        """
        return self.chains.release(diff_ids)

    def sweep(self) -> list[str]:
        """Forget every stack and layer that no image, root or pin has, such as a removed container's last layers.

        The chain ids forgotten. Not while a pull or a build is on its way: what they unpacked has no owner yet.
        """
        forgotten = self.release(self.layers.all())
        self.collect()
        return forgotten

    def collect(self) -> None:
        """Remove the files of forgotten layers."""
        for digest in self.chains.lost_blobs():
            self.content.remove(digest)
        self.folders.collect()

    def close(self) -> None:
        """Unmount every root and finish deleting. Roots stay, and can be mounted again."""
        for row in self._table.all():
            if row.form == "overlay":
                overlay.unmount(row.path)
        self._trash.close()

    # How it is done

    @property
    def _overlay_form(self) -> str:
        return "user" if self._overlay == "userxattr" else "trusted"

    def _make(self, key: str, parent: str, writable: bool, volatile: bool) -> Snapshot:
        stack = self.stack(parent)
        with self._locks("key " + key):
            if self._table.has(key):
                raise Conflict(f'snapshot "{key}": already exists')
            if self._overlay != "no" and stack.folders:
                row = self._table.add(key, parent, "overlay", self.folders.owners, writable)
                try:
                    self._make_overlay(row, stack, volatile)
                    return _snapshot(row)
                except OSError:  # a kernel, file system or stack that can't: a clone can
                    self._drop(row)
            form: Form = "links" if self._copy_up or not writable else "copies"
            row = self._table.add(key, parent, form, self.folders.owners, writable)
            try:
                self._make_clone(row, stack)
                return _snapshot(row)
            except BaseException:
                self._drop(row)
                raise

    def _make_overlay(self, row: Row, stack: Stack, volatile: bool) -> None:
        with clear_disk_errors(f"write {row.home}"):
            row.home.mkdir(mode=0o711)
            row.path.mkdir(mode=0o755)
            if row.writable:
                row.work.mkdir(mode=0o700)
                row.upper.mkdir(mode=0o755)
                copy_root(stack, row.upper, row.owners)
            self._mount(row, stack, volatile)

    def _make_clone(self, row: Row, stack: Stack) -> None:
        with clear_disk_errors(f"write {row.home}"):
            row.home.mkdir(mode=0o711)
            row.path.mkdir(mode=0o755)
            row.path.chmod(0o755)
            clone(stack, row.path, row.owners, links=row.form == "links")
            row.stamp.touch()

    def _mount(self, row: Row, stack: Stack, volatile: bool = False) -> None:
        if os.path.ismount(row.path):
            return
        lower = [str(self.folders.mark(folder, self._overlay_form).number) for folder in stack.folders]
        if not row.writable:  # two are the least without an upper folder
            self._empty.mkdir(mode=0o755, exist_ok=True)
            lower.insert(0, os.path.relpath(self._empty, self.folders.root))
        overlay.forget_volatile(row.work)
        overlay.mount(
            self.folders.root,
            lower,
            row.path,
            userxattr=self._overlay == "userxattr",
            upper=row.upper if row.writable else None,
            volatile=volatile,
        )

    def _compare(self, row: Row) -> tuple[Stack, ChangeSet]:
        stack = self.stack(row.parent)
        if not row.writable:
            return stack, ChangeSet()
        if row.form == "overlay":
            return stack, compare(os.fspath(row.upper), stack, row.owners, "overlay")
        stamp = row.stamp.stat().st_ctime_ns
        return stack, compare(os.fspath(row.path), stack, row.owners, row.form, stamp)

    def _drop(self, row: Row) -> None:
        """Remove a root; its record goes first, so that a crash leaves only an orphan.

        A mount goes with the trash: taking an overlay away makes the kernel write the whole disk's dirty pages
        (unless it was volatile), which can take half a second.
        """
        self._table.remove(row.key)
        self._trash.throw(row.home)

    def _clean(self) -> None:
        """After a crash: roots that were never whole go, and folders without a record."""
        known = set()
        for row in self._table.all():
            if (row.upper if row.form == "overlay" and row.writable else row.path).is_dir() and (
                row.form == "overlay" or row.stamp.exists()
            ):
                known.add(row.home.name)
            else:
                self._table.remove(row.key)
        for name in os.listdir(self._root):
            if name not in known:
                with contextlib.suppress(OSError):  # a mount of an engine that still ends
                    self._trash.throw(self._root / name)
        self._trash.sweep()


def _snapshot(row: Row) -> Snapshot:
    return Snapshot(row.key, row.path, copy_on_write=row.form == "links" and row.writable)
