"""Volumes of the driver ``local``: folders under the root, or what their options mount."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockmagic.database import Database
from dockmagic.engine import clock
from dockmagic.engine.filters import Filters, boolean, check, excluded_by_label, labels_match, matches
from dockmagic.engine.ids import new_id
from dockmagic.engine.services.events import Events
from dockmagic.errors import Conflict, InvalidParameter, NotFound

_MIGRATIONS = ("CREATE TABLE volumes (name TEXT PRIMARY KEY, record TEXT NOT NULL)",)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_FILTERS = {"dangling", "driver", "label", "name"}
ANONYMOUS = "com.docker.volume.anonymous"
"""The label dockerd gives volumes nobody named."""
Users = Callable[[str], "list[str]"]
"""The ids of the containers that use a volume."""


@dataclass
class Volume:
    """One volume. ``mountpoint`` is its folder on the engine's machine."""

    name: str
    mountpoint: str
    created: str
    labels: dict[str, str] | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})

    @property
    def source(self) -> str:
        """What is bind-mounted: the folder, or the ``device`` of a bind volume."""
        return self.options["device"] if self.binds else self.mountpoint

    @property
    def binds(self) -> bool:
        return "bind" in self.options.get("o", "").split(",") and bool(self.options.get("device"))

    def shape(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "CreatedAt": self.created,
            "Driver": "local",
            "Labels": self.labels,
            "Mountpoint": self.mountpoint,
            "Name": self.name,
            "Options": self.options or None,
            "Scope": "local",
        }


class Volumes:
    """All volumes of this root."""

    def __init__(self, database: Database, folder: Path, events: Events) -> None:
        database.migrate("volumes", _MIGRATIONS)
        self._database = database
        self._folder = folder
        self._events = events
        self._lock = threading.RLock()
        self._known: dict[str, Volume] = {}
        for row in database.query("SELECT record FROM volumes"):
            volume = Volume(**json.loads(row["record"]))
            self._known[volume.name] = volume

    def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume ``name``, made when it is not there; a random name makes it anonymous.

        Raises InvalidParameter, NotFound (another driver), Conflict (there with other options).
        """
        if driver not in {"", "local"}:
            raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
        tags = dict(labels) if labels is not None else None
        if not name:
            name = new_id()
            tags = {**(tags or {}), ANONYMOUS: ""}
        if not _NAME.fullmatch(name):
            raise InvalidParameter(
                f'create {name}: "{name}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
            )
        with self._lock:
            known = self._known.get(name)
            if known:
                if options and dict(options) != known.options:
                    raise Conflict(f"create {name}: volume {name} already exists with other options")
                return known
            chosen = _checked(name, dict(options or {}))
            folder = self._folder / name / "_data"
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            volume = Volume(name, str(folder), clock.now().split(".")[0].rstrip("Z") + "Z", tags, chosen)
            with self._database.transaction() as tx:
                tx.execute("INSERT INTO volumes VALUES (?, ?)", (name, json.dumps(vars(volume))))
            self._known[name] = volume
        self._events.publish("volume", "create", name, {"driver": "local"})
        return volume

    def get(self, name: str) -> Volume:
        """Raises NotFound."""
        with self._lock:
            if name not in self._known:
                raise NotFound(f"get {name}: no such volume")
            return self._known[name]

    def matching(self, filters: Filters, users: Users) -> list[Volume]:
        """The volumes the filters let through, by name."""
        check(filters, _FILTERS)
        dangling = boolean(filters, "dangling")
        with self._lock:
            known = sorted(self._known.values(), key=lambda v: v.name)
        return [
            volume
            for volume in known
            if matches(filters, "name", volume.name)
            and labels_match(filters, volume.labels)
            and ("driver" not in filters or "local" in filters["driver"])
            and (dangling is None or dangling is not bool(users(volume.name)))
        ]

    def remove(self, name: str, users: Users, *, force: bool = False) -> None:
        """Raises NotFound (not with ``force``) and Conflict while a container uses it."""
        with self._lock:
            if name not in self._known:
                if force:
                    return
                raise NotFound(f"get {name}: no such volume")
            using = users(name)
            if using:
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(using)}]")
            with self._database.transaction() as tx:
                tx.execute("DELETE FROM volumes WHERE name = ?", (name,))
            del self._known[name]
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self._events.publish("volume", "destroy", name, {"driver": "local"})

    def prune(self, filters: Filters, users: Users, *, named: bool) -> tuple[list[str], int]:
        """Remove what nothing uses (with ``named`` also volumes that have a name); names and bytes freed."""
        check(filters, {"label", "label!", "all"})
        named = named or boolean(filters, "all") is True
        removed = []
        freed = 0
        for volume in self.matching({}, users):
            if (volume.anonymous or named) and not users(volume.name) and labels_match(filters, volume.labels):
                if excluded_by_label(filters, volume.labels):
                    continue
                freed += folder_size(volume.mountpoint)
                self.remove(volume.name, users)
                removed.append(volume.name)
        self._events.publish("volume", "prune", "", {"reclaimed": str(freed)})
        return removed, freed


def folder_size(folder: str) -> int:
    """bytes of the regular files in ``folder``."""
    import os

    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except OSError:  # it went away meanwhile
                continue
    return total


def _checked(name: str, options: dict[str, str]) -> dict[str, str]:
    for option in options:
        if option not in {"type", "o", "device", "size"}:
            raise InvalidParameter(f'create {name}: invalid option: "{option}"')
    if options and "type" not in options and "device" not in options and "o" not in options:
        raise InvalidParameter(f"create {name}: missing required option")
    if options.get("device") and "type" not in options:
        raise InvalidParameter(f'create {name}: missing required option: "type"')
    return options
