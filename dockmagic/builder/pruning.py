"""Looking at the build cache and emptying it: ``docker system df`` and ``docker builder prune``."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dockmagic.builder.cache import BuildCache, MountRecord, Record
from dockmagic.builder.config import rfc3339
from dockmagic.builder.mounts import CacheFolders
from dockmagic.builder.storage import StoreLayers
from dockmagic.errors import InvalidParameter

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Pruner:
    """Goes through the records of one cache."""

    def __init__(self, cache: BuildCache, folders: CacheFolders, layers: StoreLayers) -> None:
        self._cache = cache
        self._folders = folders
        self._layers = layers

    def shapes(self) -> list[dict[str, Any]]:
        """All records in the API's BuildCache shape. A layer's bytes count where no image has it."""
        shapes = []
        used = self._layers.in_images()
        for record in self._cache.records():
            shared = record.diff_id in used
            shapes.append(_shape(_id(record.key), "regular", record.description, record.size, record, shared=shared))
        for mount in self._cache.mounts():
            size = self._folders.size(mount.folder)
            shapes.append(_shape(_id(mount.folder), "exec.cachemount", mount.description, size, mount, shared=False))
        return shapes

    def prune(self, filters: Mapping[str, Sequence[str]], *, all: bool, keep: int) -> tuple[list[str], int]:
        """Remove the longest unused first until ``keep`` bytes are left (0: everything). Without ``all`` what an image
        still has stays. Filters: ``until=24h``, ``id=``, ``type=``."""
        until = _until(filters.get("until", ()))
        ids = set(filters.get("id", ()))
        types = set(filters.get("type", ()))
        total = sum(shape["Size"] for shape in self.shapes() if not shape["Shared"])
        removed: list[str] = []
        freed = 0
        used = self._layers.in_images()
        entries: list[Record | MountRecord] = [*self._cache.records(), *self._cache.mounts()]
        for entry in sorted(entries, key=lambda entry: entry.used):
            if keep and total - freed <= keep:
                break
            if until is not None and entry.used > until:
                continue
            mount = isinstance(entry, MountRecord)
            id = _id(entry.folder if isinstance(entry, MountRecord) else entry.key)
            if (ids and id not in ids) or (types and ("exec.cachemount" if mount else "regular") not in types):
                continue
            size = self._remove(entry, used, all=all)
            if size is not None:
                removed.append(id)
                freed += size
        return removed, freed

    def _remove(self, entry: Record | MountRecord, used: set[str], *, all: bool) -> int | None:
        """Bytes freed, or None when it stays."""
        if isinstance(entry, MountRecord):
            size = self._folders.size(entry.folder)
            self._folders.remove(entry.folder)
            return size
        shared = entry.diff_id in used
        if shared and not all:
            return None
        last = self._cache.remove(entry.key)
        self._layers.release(entry.key, entry.diff_id)
        return entry.size if last and not shared else 0


def _id(key: str) -> str:
    """An id of BuildKit's shape: 25 characters."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:17], "big")
    digits = ""
    while len(digits) < 25:
        number, rest = divmod(number, 36)
        digits += "0123456789abcdefghijklmnopqrstuvwxyz"[rest]
    return digits


def _shape(
    id: str, kind: str, description: str, size: int, entry: Record | MountRecord, *, shared: bool
) -> dict[str, Any]:
    return {
        "ID": id,
        "Parent": "",
        "Type": kind,
        "Description": description,
        "InUse": False,
        "Shared": shared,
        "Size": size,
        "CreatedAt": rfc3339(entry.created),
        "LastUsedAt": rfc3339(entry.used),
        "UsageCount": entry.uses,
    }


def _until(values: Sequence[str]) -> int | None:
    """``until``: a Go duration back from now, or a Unix time; ns."""
    if not values:
        return None
    text = values[0]
    if re.fullmatch(r"[0-9]+", text):
        return int(text) * 10**9
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidParameter(f"invalid filter 'until': {text}")
    return time.time_ns() - int(sum(float(number) * _UNITS[unit] for number, unit in parts) * 10**9)
