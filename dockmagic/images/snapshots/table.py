"""The records of the roots: which key is which folder, on which stack, in which form."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dockmagic.database import Database
from dockmagic.errors import NotFound
from dockmagic.images.attributes import Owners
from dockmagic.images.snapshots.changes import Form


class Row(NamedTuple):
    """A root. ``home`` is its own folder."""

    key: str
    home: Path
    parent: str
    form: Form
    owners: Owners
    writable: bool

    @property
    def path(self) -> Path:
        """The whole tree."""
        return self.home / ("merged" if self.form == "overlay" else "root")

    @property
    def upper(self) -> Path:
        """An overlay's writable part."""
        return self.home / "upper"

    @property
    def work(self) -> Path:
        return self.home / "work"

    @property
    def stamp(self) -> Path:
        """A file made when a clone was whole."""
        return self.home / "stamp"


class Table:
    """``snapshot`` in the database."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root

    def get(self, key: str) -> Row:
        """Raises NotFound."""
        for row in self._select("WHERE key = ?", key):
            return row
        raise NotFound(f"snapshot {key} does not exist: not found")

    def has(self, key: str) -> bool:
        return bool(self._select("WHERE key = ?", key))

    def all(self) -> list[Row]:
        return self._select("ORDER BY key")

    def add(self, key: str, parent: str, form: Form, owners: Owners, writable: bool) -> Row:
        """A new record; its folder is not made."""
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO snapshot SELECT ?, COALESCE(MAX(number), 0) + 1, ?, ?, ?, ? FROM snapshot",
                (key, parent, form, owners, writable),
            )
        return self.get(key)

    def remove(self, key: str) -> None:
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM snapshot WHERE key = ?", (key,))

    def _select(self, clause: str, *parameters: str) -> list[Row]:
        rows = self._database.query(
            f"SELECT key, number, parent, form, owners, writable FROM snapshot {clause}", parameters
        )
        return [
            Row(
                row["key"],
                self._root / str(row["number"]),
                row["parent"],
                row["form"],
                row["owners"],
                bool(row["writable"]),
            )
            for row in rows
        ]
