"""One SQLite file (WAL) for every record; each room brings its own numbered migrations.

``Database`` is handed down by the engine. A change is one ``with db.transaction() as tx:`` block, so a crash
at any point leaves the last whole state. Connections are lent to one thread at a time and used again: opening one
takes longer than most statements, and threads come and go with every request.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path


class Database:
    """A thread-safe handle on the state file at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._write = threading.RLock()
        self._guard = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS migrations (room TEXT PRIMARY KEY, number INTEGER NOT NULL)")

    def migrate(self, room: str, steps: Sequence[str]) -> None:
        """Apply the ``steps`` (SQL scripts, oldest first) of ``room`` that this file has not seen."""
        with self.transaction() as tx:
            row = tx.execute("SELECT number FROM migrations WHERE room = ?", (room,)).fetchone()
            done = row["number"] if row else 0
            for script in steps[done:]:
                for statement in script.split(";"):
                    if statement.strip():
                        tx.execute(statement)
            tx.execute("INSERT OR REPLACE INTO migrations VALUES (?, ?)", (room, max(done, len(steps))))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One change: committed when the block ends, undone when it raises."""
        with self._write:
            outer: sqlite3.Connection | None = getattr(self._local, "transaction", None)
            if outer is not None:  # nested in an outer block of this thread: part of that change
                yield outer
                return
            with self._lent() as connection:
                connection.execute("BEGIN IMMEDIATE")
                self._local.transaction = connection
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                else:
                    connection.commit()
                finally:
                    self._local.transaction = None

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """The rows of a reading statement; within a transaction of this thread they show its changes."""
        current: sqlite3.Connection | None = getattr(self._local, "transaction", None)
        if current is not None:
            return current.execute(sql, parameters).fetchall()
        with self._lent() as connection:
            return connection.execute(sql, parameters).fetchall()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._open()
        try:
            yield connection
        finally:
            with self._guard:
                self._idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection
