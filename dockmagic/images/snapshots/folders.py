"""Unpacked layers: ``layers/NUMBER`` is one layer's tree, and nothing else. Each layer is unpacked once.

The number is short so that the 4096 bytes of an overlay's options hold hundreds of layers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from dockmagic.database import Database
from dockmagic.errors import InvalidParameter, NotFound
from dockmagic.images import tarwriter
from dockmagic.images.attributes import Owners, see
from dockmagic.images.files import remove_tree, unchanged_times
from dockmagic.images.pipeline import HashedReader
from dockmagic.images.protocols import Layer
from dockmagic.images.snapshots.record import Folder, Record
from dockmagic.images.snapshots.trash import Trash
from dockmagic.images.untar import untar

_COLUMNS = "SELECT number, diff_id, parent, owners, record FROM folder"


class Folders:
    """The table of unpacked layers and their trees below ``root``, whose owners are kept as ``owners`` says."""

    def __init__(self, root: Path, database: Database, owners: Owners, trash: Trash) -> None:
        self.root = root
        self.owners: Owners = owners
        self._database = database
        self._trash = trash
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clean()

    def find(self, diff_id: str, parent: str) -> Folder | None:
        """The layer unpacked so that it fits on the chain ``parent``."""
        rows = self._database.query(
            f"{_COLUMNS} WHERE diff_id = ? AND owners = ? AND parent IN (?, '') ORDER BY parent DESC",
            (diff_id, self.owners, parent),
        )
        return self._folder(rows[0]) if rows else None

    def any_of(self, diff_id: str) -> Folder | None:
        """The layer unpacked in any way; this engine's way first."""
        rows = self._database.query(
            f"{_COLUMNS} WHERE diff_id = ? ORDER BY owners = ? DESC, parent", (diff_id, self.owners)
        )
        return self._folder(rows[0]) if rows else None

    def unpack(self, layer: Layer, parent: str, base: Callable[[str], str | None]) -> Folder:
        """Unpack ``layer``; ``base`` finds paths of the layers below it, the chain ``parent``.

        Raises InvalidParameter when its content is malformed or not that of its diff id; then nothing is kept.
        """
        used = False

        def look(path: str) -> str | None:
            nonlocal used
            found = base(path)
            used = used or found is not None
            return found

        work = self._new()
        try:
            with layer.open_tar() as tar, HashedReader(tar) as reader:
                unpacked = untar(reader, work, owners=self.owners, layer=True, base=look)
                actual = reader.digest()
            if actual != layer.diff_id:
                raise InvalidParameter(f"layer content has digest {actual}, expected {layer.diff_id}")
            return self.add(work, layer.diff_id, Record.of(unpacked), unpacked.size, parent if used else "")
        except BaseException:
            remove_tree(work)
            raise

    def take(self, tar: HashedReader) -> str:
        """Unpack a layer whose diff id is only known when it is read: that diff id. Raises as :meth:`unpack`."""
        work = self._new()
        try:
            unpacked = untar(tar, work, owners=self.owners, layer=True)
            diff_id = tar.digest()
            self.add(work, diff_id, Record.of(unpacked), unpacked.size)
        except BaseException:
            remove_tree(work)
            raise
        return diff_id

    def new_tree(self) -> Path:
        """An empty folder on its way to becoming a layer by :meth:`add`."""
        return self._new()

    def add(self, tree: Path, diff_id: str, record: Record, size: int, parent: str = "") -> Folder:
        """Take ``tree`` (on the same file system) as the layer ``diff_id``, unless it is there already."""
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO layer VALUES (?, ?) ON CONFLICT DO UPDATE SET size = excluded.size", (diff_id, size)
            )
            done = tx.execute(
                "INSERT OR IGNORE INTO folder (diff_id, parent, owners, record) VALUES (?, ?, ?, ?)",
                (diff_id, parent, self.owners, record.encode()),
            )
            if done.rowcount:
                # Before the transaction is committed: a crash leaves a tree without a record, which _clean removes.
                os.rename(tree, self.root / str(done.lastrowid))
            row = tx.execute(
                f"{_COLUMNS} WHERE diff_id = ? AND owners = ? AND parent = ?", (diff_id, self.owners, parent)
            ).fetchone()
        if not done.rowcount:
            self._trash.throw(tree)
        return self._folder(row)

    def fits(self, folder: Folder, base: Callable[[str], str | None]) -> bool:
        """Whether the folders nobody described look as the layers below, asked by ``base``, have them."""
        for name in folder.record.implicit:
            below = base(os.fsdecode(name))
            if below is None or not os.path.isdir(below) or os.path.islink(below):
                continue
            own = os.path.join(os.fspath(folder.path), os.fsdecode(name))
            if see(own, os.lstat(own), folder.owners) != see(below, os.lstat(below), folder.owners):
                return False
        return True

    def tar(self, diff_id: str) -> BinaryIO:
        """The layer's tar written again from its tree. Raises NotFound when it is not unpacked."""
        folder = self.any_of(diff_id)
        if folder is None:
            raise NotFound(f"layer {diff_id}: not found")
        return tarwriter.stream(tarwriter.write_tar(self.items(folder), folder.owners))

    def items(self, folder: Folder) -> Iterable[tarwriter.Item]:
        """The layer's entries, in their order."""
        return tarwriter.walk(os.fsencode(folder.path), folder.record.whiteouts, folder.record.opaque)

    def digest(self, tree: Path, record: Record) -> tuple[str, int]:
        """The diff id and content size (bytes) that ``tree`` has as a layer."""
        seen = hashlib.sha256()
        size = 0

        def counted() -> Iterable[tarwriter.Item]:
            nonlocal size
            for item in tarwriter.walk(os.fsencode(tree), record.whiteouts, record.opaque):
                if isinstance(item, tarwriter.Present) and stat.S_ISREG(item.status.st_mode):
                    size += item.status.st_size
                yield item

        for chunk in tarwriter.write_tar(counted(), self.owners):
            seen.update(chunk)
        return "sha256:" + seen.hexdigest(), size

    def mark(self, folder: Folder, form: str) -> Folder:
        """Put the markers of overlayfs's ``form`` (``trusted`` or ``user``) into the tree. Raises OSError."""
        if form in folder.record.marked or not folder.record.hides:
            return folder
        root = os.fsencode(folder.path)
        for name in folder.record.opaque:
            os.setxattr(os.path.join(root, name) if name else root, f"{form}.overlay.opaque", b"y")
        for parent, names in folder.record.gone.items():
            with unchanged_times(os.path.join(root, parent)):
                for name in names:
                    with contextlib.suppress(FileExistsError):
                        os.mknod(os.path.join(root, parent, name), stat.S_IFCHR, 0)
        record = folder.record.with_mark(form)
        with self._database.transaction() as tx:
            tx.execute("UPDATE folder SET record = ? WHERE number = ?", (record.encode(), folder.number))
        return Folder(folder.number, folder.diff_id, folder.path, folder.owners, record)

    def collect(self) -> None:
        """Remove trees whose record is gone. As a change, so that none is taken for lost that is just being added."""
        with self._database.transaction() as tx:
            known = {row["number"] for row in tx.execute("SELECT number FROM folder")}
            for name in os.listdir(self.root):
                if name.isdigit() and int(name) not in known:
                    self._trash.throw(self.root / name)

    def _folder(self, row: object) -> Folder:
        values = dict(row)  # type: ignore[call-overload]
        return Folder(
            values["number"],
            values["diff_id"],
            self.root / str(values["number"]),
            values["owners"],
            Record.decode(values["record"]),
        )

    def _new(self) -> Path:
        path = self.root / f"new-{os.urandom(8).hex()}"
        path.mkdir(mode=0o755)
        path.chmod(0o755)  # whatever the umask: it becomes the root's mode unless the layer says otherwise
        return path

    def _clean(self) -> None:
        """After a crash: records without a tree and trees without a record go."""
        with self._database.transaction() as tx:
            rows = tx.execute("SELECT number FROM folder").fetchall()
            lost = [(row["number"],) for row in rows if not (self.root / str(row["number"])).is_dir()]
            tx.executemany("DELETE FROM folder WHERE number = ?", lost)
        for name in os.listdir(self.root):
            if not name.isdigit():
                self._trash.throw(self.root / name)
        self.collect()
