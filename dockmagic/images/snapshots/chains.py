"""Which stacks of layers there are, who keeps them, and letting go of those that nobody keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from dockmagic.database import Database
from dockmagic.errors import NotFound
from dockmagic.images.chain import chain_id


class Chains:
    """``chain`` and ``pin`` in the database. A chain keeps the one below it, and its layer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, chain: str) -> bool:
        return bool(self._database.query("SELECT 1 FROM chain WHERE chain = ?", (chain,)))

    def add(self, chain: str, parent: str, diff_id: str) -> None:
        with self._database.transaction() as tx:
            tx.execute("INSERT OR IGNORE INTO chain VALUES (?, ?, ?)", (chain, parent, diff_id))

    def layers(self, chain: str) -> list[tuple[str, str]]:
        """(chain id, diff id) of each layer, from the base up. Raises NotFound."""
        if not chain:
            return []
        rows = self._database.query(
            "WITH RECURSIVE below (chain, parent, diff_id, depth) AS ("
            "SELECT chain, parent, diff_id, 0 FROM chain WHERE chain = ? UNION ALL "
            "SELECT c.chain, c.parent, c.diff_id, depth + 1 FROM chain c JOIN below ON c.chain = below.parent) "
            "SELECT chain, parent, diff_id FROM below ORDER BY depth DESC",
            (chain,),
        )
        if not rows or rows[0]["parent"]:
            raise NotFound(f"snapshot parent {chain} does not exist: not found")
        return [(row["chain"], row["diff_id"]) for row in rows]

    def pin(self, owner: str, chain: str) -> None:
        """Keep a chain for ``owner``. Raises NotFound."""
        with self._database.transaction() as tx:  # one change with the look, or it may go in between
            if chain and not self.has(chain):
                raise NotFound(f"snapshot parent {chain} does not exist: not found")
            tx.execute("INSERT OR IGNORE INTO pin VALUES (?, ?)", (owner, chain))

    def unpin(self, owner: str) -> list[str]:
        """Let go of what ``owner`` pinned: the diff ids that were kept by it."""
        with self._database.transaction() as tx:
            rows = tx.execute("SELECT chain FROM pin WHERE owner = ?", (owner,)).fetchall()
            kept = [diff_id for row in rows if self.has(row["chain"]) for _, diff_id in self.layers(row["chain"])]
            tx.execute("DELETE FROM pin WHERE owner = ?", (owner,))
        return kept

    def release(self, diff_ids: Sequence[str]) -> list[str]:
        """Forget chains and layers among ``diff_ids`` that nothing keeps; the chain ids, the topmost first."""
        with self._database.transaction() as tx:
            forgotten = self._release_chains(tx, diff_ids)
            for diff_id in dict.fromkeys(diff_ids):
                kept = tx.execute(
                    "SELECT 1 FROM image_layer WHERE diff_id = ? UNION ALL SELECT 1 FROM chain WHERE diff_id = ?",
                    (diff_id, diff_id),
                ).fetchone()
                if not kept:
                    tx.execute(
                        "INSERT OR IGNORE INTO lost_blob SELECT digest FROM layer_blob WHERE diff_id = ?", (diff_id,)
                    )
                    for table in ("folder", "layer_blob", "layer"):
                        tx.execute(f"DELETE FROM {table} WHERE diff_id = ?", (diff_id,))
        return forgotten

    def lost_blobs(self) -> list[str]:
        """The digests of blobs that no layer has any more; each is told once."""
        with self._database.transaction() as tx:
            rows = tx.execute(
                "SELECT digest FROM lost_blob WHERE digest NOT IN (SELECT digest FROM layer_blob)"
            ).fetchall()
            tx.execute("DELETE FROM lost_blob")
        return [row["digest"] for row in rows]

    def _release_chains(self, tx: sqlite3.Connection, diff_ids: Sequence[str]) -> list[str]:
        """From the top down, again and again: a chain without a chain above it may go with the next look."""
        kept = self._chains_of_images(tx)
        forgotten: list[str] = []
        for diff_id in reversed(list(dict.fromkeys(diff_ids))):
            for row in tx.execute("SELECT chain FROM chain WHERE diff_id = ?", (diff_id,)).fetchall():
                forgotten += self._release(tx, row["chain"], kept, set(diff_ids))
        return forgotten

    def _release(self, tx: sqlite3.Connection, chain: str, kept: set[str], among: set[str]) -> list[str]:
        forgotten: list[str] = []
        while chain:
            row = tx.execute("SELECT parent, diff_id FROM chain WHERE chain = ?", (chain,)).fetchone()
            if row is None or row["diff_id"] not in among or chain in kept:
                break
            used = tx.execute(
                "SELECT 1 FROM chain WHERE parent = ? UNION ALL SELECT 1 FROM snapshot WHERE parent = ? "
                "UNION ALL SELECT 1 FROM pin WHERE chain = ?",
                (chain, chain, chain),
            ).fetchone()
            if used:
                break
            tx.execute("DELETE FROM chain WHERE chain = ?", (chain,))
            forgotten.append(chain)
            chain = row["parent"]
        return forgotten

    @staticmethod
    def _chains_of_images(tx: sqlite3.Connection) -> set[str]:
        """Every stack that an image is made of."""
        kept: set[str] = set()
        image, chain = None, ""
        for row in tx.execute("SELECT image, diff_id FROM image_layer ORDER BY image, position"):
            if row["image"] != image:
                image, chain = row["image"], ""
            chain = chain_id(chain, row["diff_id"])
            kept.add(chain)
        return kept
