"""The layer between an image and what a container writes: what runtimes mount over and images may lack.

Without it those files would be the container's own, and show in ``docker diff`` and ``docker commit``.
"""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

from dockmagic.inroot import resolve

if TYPE_CHECKING:
    from dockmagic.images.snapshots.service import LayerSnapshots

_CONTENT = (
    ("dev", "folder"), ("dev/pts", "folder"), ("dev/shm", "folder"), ("proc", "folder"),
    ("sys", "folder"), ("etc", "folder"), (".dockerenv", "file"),
    ("etc/resolv.conf", "file"), ("etc/hosts", "file"), ("etc/hostname", "file"),
    ("dev/console", "file"), ("etc/mtab", "link"),
)  # fmt: skip
"""moby, daemon/initlayer/setup_unix.go"""


class InitLayers:
    """Makes the layer for each stack of image layers, once."""

    def __init__(self, snapshots: LayerSnapshots) -> None:
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._made: dict[str, str] = {}
        self._diff_ids: set[str] = set()

    def on(self, chain: str) -> str:
        """The stack ``chain`` with its init layer on top."""
        with self._lock:
            known = self._made.get(chain)
            if known is not None and self._snapshots.has(known):
                return known
            tar = self._missing(chain)
            if tar is None:
                return chain
            layer = self._snapshots.add_tar(io.BytesIO(tar))
            self._diff_ids.add(layer.diff_id)
            made = self._made[chain] = self._snapshots.unpack(chain, layer)
            return made

    def release(self, diff_ids: list[str]) -> None:
        """An image of these layers is gone: let go of what was put on them, where no container is left."""
        with self._lock:
            self._snapshots.release([*diff_ids, *self._diff_ids])
            self._snapshots.collect()

    def _missing(self, chain: str) -> bytes | None:
        """A tar of what the stack lacks."""
        key = f"init {chain or 'scratch'}"
        self._snapshots.remove(key)  # a crash may have left it
        root = str(self._snapshots.view(key, chain).path)

        def there(name: str) -> bool:
            return os.path.lexists(resolve(root, name, follow_last=False))

        try:
            lacking = [(name, kind) for name, kind in _CONTENT if not there(name)]
        finally:
            self._snapshots.remove(key)
        if not lacking:
            return None
        import tarfile

        kinds = {"folder": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "link": tarfile.SYMTYPE}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, kind in lacking:
                member = tarfile.TarInfo(name)
                member.type, member.mode = kinds[kind], 0o644 if kind == "file" else 0o755
                member.linkname = "/proc/mounts" if kind == "link" else ""
                archive.addfile(member)
        return out.getvalue()
