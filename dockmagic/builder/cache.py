"""The build cache: keys of steps and the layers they made, digests of files, folders of cache mounts.

A record names its layer by diff id; the layers themselves are the image store's, held there under this room's name, so
that images may be deleted without losing them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from dockmagic.database import Database

_MIGRATIONS = (
    """
    CREATE TABLE build_records (
        key TEXT PRIMARY KEY, chain TEXT NOT NULL, diff_id TEXT NOT NULL, parent TEXT NOT NULL, kind TEXT NOT NULL,
        description TEXT NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,
        uses INTEGER NOT NULL
    );
    CREATE INDEX build_records_diff_id ON build_records (diff_id);
    CREATE TABLE file_digests (identity TEXT PRIMARY KEY, digest TEXT NOT NULL, used INTEGER NOT NULL);
    CREATE TABLE tree_digests (
        chain TEXT NOT NULL, query TEXT NOT NULL, digest TEXT NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (chain, query)
    );
    CREATE TABLE cache_mounts (
        folder TEXT PRIMARY KEY, id TEXT NOT NULL, description TEXT NOT NULL, created INTEGER NOT NULL,
        used INTEGER NOT NULL, uses INTEGER NOT NULL
    )
    """,
)
_FEW = 500  # SQLite's old limit of 999 variables in one statement
_FORGET_AFTER = 30 * 86400 * 10**9


@dataclass(frozen=True)
class Record:
    """A step's result. Times in ns since the epoch, ``size`` in bytes of the layer's tar."""

    key: str
    chain: str
    """Of the root after the step; "" for a layer that is put on any parent (``--link``)."""
    diff_id: str
    parent: str
    kind: str
    description: str
    size: int
    created: int
    used: int = 0
    uses: int = 0


@dataclass(frozen=True)
class MountRecord:
    """A cache mount's folder."""

    folder: str
    id: str
    description: str
    created: int
    used: int
    uses: int


class BuildCache:
    """The records, in the engine's database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("builder", _MIGRATIONS)

    def find(self, key: str) -> Record | None:
        """The record, without marking it used."""
        rows = self._database.query("SELECT * FROM build_records WHERE key = ?", (key,))
        return Record(**dict(rows[0])) if rows else None

    def use(self, keys: Sequence[str]) -> None:
        """Note that records were used now."""
        now = time.time_ns()
        with self._database.transaction() as tx:
            tx.executemany(
                "UPDATE build_records SET used = ?, uses = uses + 1 WHERE key = ?", [(now, key) for key in keys]
            )

    def save(self, record: Record) -> None:
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO build_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.key, record.chain, record.diff_id, record.parent, record.kind, record.description,
                    record.size, record.created, record.used or record.created, record.uses,
                ),
            )  # fmt: skip

    def records(self) -> list[Record]:
        """All records, the longest unused first."""
        return [
            Record(**dict(row)) for row in self._database.query("SELECT * FROM build_records ORDER BY used, created")
        ]

    def total(self) -> int:
        """bytes of all records' layers, each once"""
        rows = self._database.query("SELECT SUM(size) AS total FROM (SELECT DISTINCT diff_id, size FROM build_records)")
        return int(rows[0]["total"] or 0)

    def remove(self, key: str) -> bool:
        """Forget a record; whether no other record needs its layer any more."""
        with self._database.transaction() as tx:
            row = tx.execute("SELECT diff_id FROM build_records WHERE key = ?", (key,)).fetchone()
            tx.execute("DELETE FROM build_records WHERE key = ?", (key,))
            if row is None:
                return False
            left = tx.execute("SELECT 1 FROM build_records WHERE diff_id = ? LIMIT 1", (row["diff_id"],)).fetchone()
            return left is None

    # --- digests ---

    def known_digests(self, identities: Sequence[str]) -> dict[str, str]:
        """The digests of files whose identity was seen before."""
        known: dict[str, str] = {}
        for start in range(0, len(identities), _FEW):
            few = identities[start : start + _FEW]
            marks = ",".join("?" * len(few))
            rows = self._database.query(f"SELECT identity, digest FROM file_digests WHERE identity IN ({marks})", few)
            known.update((row["identity"], row["digest"]) for row in rows)
        return known

    def learn_digests(self, digests: dict[str, str]) -> None:
        """Remember the digests of files, and forget those not asked for in a month."""
        if not digests:
            return
        now = time.time_ns()
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM file_digests WHERE used < ?", (now - _FORGET_AFTER,))
            tx.executemany(
                "INSERT OR REPLACE INTO file_digests VALUES (?, ?, ?)",
                [(identity, digest, now) for identity, digest in digests.items()],
            )

    def known_tree(self, tree: str, query: str) -> str | None:
        """What was found out about a tree that never changes: a committed root by its chain id, a context by its
        tar's digest."""
        rows = self._database.query("SELECT digest FROM tree_digests WHERE chain = ? AND query = ?", (tree, query))
        return str(rows[0]["digest"]) if rows else None

    def learn_tree(self, tree: str, query: str, found: str) -> None:
        """Remember it for a month."""
        now = time.time_ns()
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM tree_digests WHERE used < ?", (now - _FORGET_AFTER,))
            tx.execute("INSERT OR REPLACE INTO tree_digests VALUES (?, ?, ?, ?)", (tree, query, found, now))

    # --- cache mounts ---

    def use_mount(self, folder: str, id: str, description: str) -> None:
        """Note that a cache mount's folder is used now."""
        now = time.time_ns()
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO cache_mounts VALUES (?, ?, ?, ?, ?, 1)"
                " ON CONFLICT (folder) DO UPDATE SET used = excluded.used, uses = uses + 1",
                (folder, id, description, now, now),
            )

    def mounts(self) -> list[MountRecord]:
        """All folders of cache mounts, the longest unused first."""
        return [MountRecord(**dict(row)) for row in self._database.query("SELECT * FROM cache_mounts ORDER BY used")]

    def remove_mount(self, folder: str) -> None:
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM cache_mounts WHERE folder = ?", (folder,))
