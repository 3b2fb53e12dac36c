"""All containers: found by id, name or the beginning of an id; each change is one transaction."""

from __future__ import annotations

import threading
from pathlib import Path

from dockmagic.database import Database
from dockmagic.engine.services.containers.record import Container, Record
from dockmagic.errors import Conflict, InvalidParameter, NotFound

_MIGRATIONS = ("CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL)",)


class ContainerRegistry:
    """The containers of this root, those of earlier engines included."""

    def __init__(self, database: Database, folder: Path) -> None:
        database.migrate("containers", _MIGRATIONS)
        self._database = database
        self._lock = threading.RLock()
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, str] = {}
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        for row in database.query("SELECT record FROM containers"):
            record = Record.decode(row["record"])
            self._by_id[record.id] = Container(record, folder / record.id)
            self._by_name[record.name] = record.id

    def all(self) -> list[Container]:
        """Newest first."""
        with self._lock:
            known = list(self._by_id.values())
        return sorted(known, key=lambda c: c.record.created, reverse=True)

    def get(self, reference: str) -> Container:
        """By id, by name (with or without a slash), or by an id's unique beginning. Raises NotFound."""
        with self._lock:
            if reference in self._by_id:
                return self._by_id[reference]
            by_name = self._by_name.get(reference.removeprefix("/"))
            if by_name:
                return self._by_id[by_name]
            found = [id for id in self._by_id if id.startswith(reference)] if reference else []
            if len(found) == 1:
                return self._by_id[found[0]]
        if len(found) > 1:
            raise InvalidParameter(f"Multiple IDs found with provided prefix: {reference}")
        raise NotFound(f"No such container: {reference}")

    def name_taken(self, name: str) -> bool:
        with self._lock:
            return name in self._by_name

    def add(self, record: Record) -> Container:
        """Keep a new container. Raises Conflict when its name is taken."""
        container = Container(record, self.folder / record.id)
        with self._lock:
            self._claim(record.name)
            with self._database.transaction() as tx:
                tx.execute("INSERT INTO containers VALUES (?, ?, ?)", (record.id, record.name, record.encode()))
            self._by_id[record.id] = container
            self._by_name[record.name] = record.id
        return container

    def save(self, container: Container) -> None:
        """Keep what changed in the container's record."""
        record = container.record
        with self._database.transaction() as tx:
            tx.execute("UPDATE containers SET record = ? WHERE id = ?", (record.encode(), record.id))

    def rename(self, container: Container, name: str) -> None:
        """Raises Conflict when ``name`` is taken."""
        with self._lock:
            self._claim(name)
            before, container.record.name = container.record.name, name
            with self._database.transaction() as tx:
                tx.execute(
                    "UPDATE containers SET name = ?, record = ? WHERE id = ?",
                    (name, container.record.encode(), container.id),
                )
            del self._by_name[before]
            self._by_name[name] = container.id

    def remove(self, container: Container) -> None:
        with self._lock:
            with self._database.transaction() as tx:
                tx.execute("DELETE FROM containers WHERE id = ?", (container.id,))
            self._by_id.pop(container.id, None)
            self._by_name.pop(container.name, None)

    def _claim(self, name: str) -> None:
        if name in self._by_name:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{self._by_name[name]}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
