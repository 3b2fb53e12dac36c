"""What a container sees where: its root and the mounts over it, as a table from its paths to the host's.

Pure: nothing here asks the kernel. Paths are bytes, canonical and without a slash at the end; the root is ``b""``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mounted:
    """Something of the host's shown at ``target``. ``private``: only this container changes it, so that what was
    found out about its links may be remembered."""

    target: bytes
    source: bytes
    read_only: bool = False
    private: bool = False
    kind: str = "bind"
    """As in /proc/mounts: ``overlay`` (the root), ``bind``, ``tmpfs``, ``proc``, ``sysfs``, ``devtmpfs``;
    ``device`` for a single node, which is in no list of mounts."""


class Place:
    """Where a path of the container's leads. ``host`` may end with a slash, ``guest`` never does."""

    __slots__ = ("guest", "host", "mount")

    def __init__(self, host: bytes, guest: bytes, mount: Mounted) -> None:
        self.host = host
        self.guest = guest
        self.mount = mount


class Namespace:
    """The container's root and mounts; a later mount of the same target hides the earlier one."""

    def __init__(self, rootfs: bytes, mounts: Iterable[Mounted] = (), *, read_only: bool = False) -> None:
        self.root = Mounted(b"", rootfs.rstrip(b"/"), read_only, True, "overlay")
        self._mounts: dict[bytes, Mounted] = {}
        for mount in mounts:
            if not mount.target:
                raise ValueError("a mount can't hide the whole root")
            self._mounts[mount.target] = mount
        self._sources = sorted(  # a terminal is /dev/pts/0 rather than /dev/console
            ((m.source.rstrip(b"/"), m) for m in [self.root, *self._mounts.values()]),
            key=lambda item: (item[1].kind == "device", -len(item[0])),
        )
        self.names = frozenset(target.rpartition(b"/")[2] for target in self._mounts)
        """Last parts of all mounts' targets: a directory entry with another name is surely no mount."""

    @property
    def mounts(self) -> tuple[Mounted, ...]:
        """Root first, then in the order given."""
        return (self.root, *self._mounts.values())

    def place(self, guest: bytes) -> Place:
        """The host's path of a canonical path of the container's (``b""`` is its root)."""
        at = guest
        mounts = self._mounts
        while at:
            mount = mounts.get(at)
            if mount is not None:
                return Place(mount.source + guest[len(at) :], guest, mount)
            at = at[: at.rfind(b"/")]
        return Place(self.root.source + guest, guest, self.root)

    def is_mount(self, guest: bytes) -> bool:
        return not guest or guest in self._mounts

    def guest(self, host: bytes) -> bytes | None:
        """The container's path of a host's path, or None when the container can't see it.

        A folder that is mounted in several places has several; the innermost source wins, then the earliest mount.
        """
        root = self.root.source
        if host.startswith(root) and (len(host) == len(root) or host[len(root)] == 0x2F):
            return host[len(root) :]
        for source, mount in self._sources:
            if host.startswith(source) and (len(host) == len(source) or host[len(source)] == 0x2F):
                return mount.target + host[len(source) :]
        return None
