"""From a path as a program in the container writes it to the place it means: every link followed inside the root.

Pure but for ``readlink`` on the host. What it found it remembers (6 to 7 µs a path), so whoever makes, removes or moves
links and directories must tell it: :meth:`Resolver.linked`, :meth:`Resolver.removed`, :meth:`Resolver.moved`. Places
that others change too (volumes, /proc) are never remembered.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from dockmagic.runtime.tracer.kernel import fail
from dockmagic.runtime.tracer.namespace import Namespace, Place

_MAX_LINKS = 40  # MAXSYMLINKS, linux/namei.h
_CACHE_LIMIT = 100_000  # entries; about 30 MB
_SLASH = 0x2F

Who_contra = TypeVar("Who_contra", contravariant=True)


def _parts(path: bytes) -> list[bytes]:
    """The names in ``path``, the first one last."""
    return [name for name in path.split(b"/") if name and name != b"."][::-1]


class Magic(Protocol[Who_contra]):
    """What names below /proc mean, for the process that asks."""

    def jump(self, path: bytes, last: bool, who: Who_contra) -> bytes | None:
        """Where the walk goes on from ``path`` (below /proc), or None when it is an ordinary name. Raises OSError."""
        ...


class Resolver(Generic[Who_contra]):
    """Resolves and remembers, for one container."""

    def __init__(
        self, namespace: Namespace, magic: Magic[Who_contra], admit: Callable[[Place], None] | None = None
    ) -> None:
        self.namespace = namespace
        self._magic = magic
        self._admit = admit  # called once with each place that will be remembered
        self._links: dict[bytes, bytes | None] = {}
        self._known_links: set[bytes] = set()
        self._places: dict[tuple[bytes, bool] | tuple[bytes, bool, bytes], Place] = {}
        self.generation = 0
        """Grows whenever everything was forgotten; what others remember of paths is void with it."""

    # --- forgetting ---

    def flush(self) -> None:
        self._links.clear()
        self._known_links.clear()
        self._places.clear()
        self.generation += 1

    def linked(self, guest: bytes) -> None:
        """A symbolic link appears at ``guest``."""
        if guest in self._links:
            self.flush()

    def removed(self, guest: bytes) -> None:
        """Whatever was at ``guest`` goes away; a directory's generation ends too."""
        if guest in self._known_links:
            self.flush()

    def moved(self, source: bytes, target: bytes, plain_file: bool) -> None:
        """``source`` becomes ``target``, replacing what was there."""
        if not plain_file or target in self._known_links or source in self._known_links:
            self.flush()

    # --- finding ---

    def find(self, path: bytes, follow: bool, who: Who_contra, root: bytes = b"") -> Place:
        """The place of an absolute ``path``; ``root`` is the container's path of the process's own root (chroot).

        Raises OSError as the kernel would: ENOENT, ENOTDIR, ELOOP, EACCES.
        """
        key = (path, follow, root) if root else (path, follow)
        place = self._places.get(key)
        if place is None:
            guest, lasting = self._walk(path, follow or path[-1] == _SLASH, who, root)
            place = self.namespace.place(guest)
            if path[-1] == _SLASH and guest:
                place = Place(place.host + b"/", guest, place.mount)
            elif not place.host:
                place = Place(b"/", guest, place.mount)
            if lasting and place.mount.private:
                if len(self._places) > _CACHE_LIMIT:
                    self.flush()
                if self._admit is not None:
                    self._admit(place)
                self._places[key] = place
        return place

    def _walk(self, path: bytes, follow: bool, who: Who_contra, root: bytes) -> tuple[bytes, bool]:
        """(the canonical path, whether it may be remembered)"""
        todo = _parts(path)
        current = root
        links = 0
        lasting = True
        while todo:
            name = todo.pop()
            if name == b"..":
                if len(current) > len(root):
                    current = current[: current.rfind(b"/")]
                continue
            following = current + b"/" + name
            last = not todo
            if last and not follow:
                return following, lasting
            if following.startswith(b"/proc/"):
                lasting = False
                jump = self._magic.jump(following, last, who)
                if jump is not None:
                    current = jump
                    continue
            try:
                target = self._links[following]
            except KeyError:
                target, remember = self._readlink(following, last)
                if remember:
                    if len(self._links) > _CACHE_LIMIT:
                        self.flush()
                    self._links[following] = target
                    if target is not None:
                        self._known_links.add(following)
                else:
                    lasting = False
            if target is None:
                current = following
                continue
            links += 1
            if links > _MAX_LINKS:
                raise fail(errno.ELOOP)
            if target[:1] == b"/":
                current = root
            todo.extend(_parts(target))
        return current, lasting

    def _readlink(self, guest: bytes, last: bool) -> tuple[bytes | None, bool]:
        """(a link's target or None, whether that may be remembered)"""
        place = self.namespace.place(guest)
        try:
            return os.readlink(place.host), place.mount.private
        except OSError as error:
            if error.errno == errno.ENOENT:
                if last:
                    return None, place.mount.private
                raise
            if error.errno in (errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP):
                raise
            return None, place.mount.private
