"""The paths inside an image, for completion: read once from its export, in the background, and kept."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockmagic.commands.api import Engine

LARGEST = 300_000_000
"""Bytes of the largest image whose paths are read: a daemon writes a copy of it to tell them."""

KEPT = 8
"""How many images' paths are kept."""

PATIENCE = 0.03
"""Seconds that a first completion waits for the paths; later ones find them read."""

OFFERED = 200


class ImagePaths:
    """Paths by image id. A folder's path ends with a slash."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {}
        self._reading: dict[str, threading.Thread] = {}

    def under(self, engine: Engine, image: str, prefix: str) -> list[str]:
        """What may follow ``prefix`` up to the next slash. Nothing until the paths are read, and of large images."""
        from dockmagic.commands.errors import CommandError

        try:
            described = engine.get(f"/images/{image}/json")
        except CommandError:  # the image is not here
            return []
        identity = str(described["Id"])
        if identity not in self._known and int(described.get("Size") or 0) <= LARGEST:
            self._read(engine, identity)
        return next_parts(self._known.get(identity, []), prefix)

    def _read(self, engine: Engine, identity: str) -> None:
        if identity not in self._reading:
            thread = threading.Thread(target=self._fill, args=(engine, identity), daemon=True, name="docker-paths")
            self._reading[identity] = thread
            thread.start()
        self._reading[identity].join(PATIENCE)

    def _fill(self, engine: Engine, identity: str) -> None:
        import tarfile

        from dockmagic.commands.errors import CommandError
        from dockmagic.commands.imagefiles import flatten, saved_layers

        try:
            tree = flatten(saved_layers(engine, identity))
        except (CommandError, OSError, tarfile.TarError, LookupError, ValueError):
            return  # an engine that went away, an image that did: there is nothing to offer
        while len(self._known) >= KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[identity] = sorted(f"{path}/" if kind == "dir" else path for path, (kind, _, _) in tree.items())
        self._reading.pop(identity, None)


def next_parts(paths: list[str], prefix: str) -> list[str]:
    """The entries that begin with ``prefix``, of a folder that ``paths`` (sorted) has: not what is in them."""
    out: list[str] = []
    at = bisect_left(paths, prefix)
    while at < len(paths) and paths[at].startswith(prefix) and len(out) < OFFERED:
        stop = paths[at].find("/", len(prefix))
        part = paths[at] if stop < 0 else paths[at][: stop + 1]
        if part == prefix and part.endswith("/"):  # the folder itself
            at += 1
            continue
        out.append(part)
        at = bisect_left(paths, part[:-1] + "0" if part.endswith("/") else part + "\0", at + 1)
    return out
