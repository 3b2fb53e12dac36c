"""Paths inside a root file system, resolved as if that root were ``/``.

A symbolic link in an image may say ``/etc`` or ``../../..``; followed by the host it would leave the root.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

_MAX_LINKS = 40  # as the kernel's MAXSYMLINKS


def resolve(root: str, path: str, *, follow_last: bool = True) -> str:
    """The host's path of ``path`` inside ``root``; every link is followed within the root.

    Components that do not exist are kept as they are. ``follow_last=False`` leaves a link in the last place.
    Raises OSError(ELOOP) for links in a circle.
    """

    def read(parts: list[str]) -> str | None:
        try:
            return os.readlink(os.path.join(root, *parts))
        except OSError:
            return None

    return os.path.join(root, *follow(path, read, follow_last=follow_last))


def follow(
    path: str, read: Callable[[list[str]], str | None], *, follow_last: bool = True, limit: int = _MAX_LINKS
) -> list[str]:
    """The parts of ``path`` with every link followed in a root of any kind; ``..`` stops at the root.

    ``read`` gives a link's target by its path's parts, None for what is no link. Raises OSError(ELOOP) after
    more than ``limit`` links.
    """
    todo = [part for part in path.split("/") if part and part != "."][::-1]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            if done:
                done.pop()
            continue
        done.append(part)
        if not todo and not follow_last:
            break
        target = read(done)
        if target is None:
            continue
        links += 1
        if links > limit:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        done.pop()
        if target.startswith("/"):
            done.clear()
        todo.extend([p for p in target.split("/") if p and p != "."][::-1])
    return done


def guest_path(root: str, host_path: str) -> str:
    """The path inside ``root`` (beginning with ``/``) of a host path that :func:`resolve` gave."""
    relative = os.path.relpath(host_path, root)
    return "/" if relative == "." else "/" + relative
