"""``--chown`` and WORKDIR's owner: names looked up in the image's own passwd and group, as BuildKit does."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dockmagic import inroot

_NUMBER = re.compile("[0-9]+")
_GREATEST = (1 << 32) - 1


def owner(root: str, text: str) -> tuple[int, int]:
    """uid and gid of ``user[:group]`` in the root. A number alone is both; an unknown name is 0."""
    user, _, group = text.partition(":")
    uid = gid = 0
    if _is_id(user):
        uid = gid = _id(user)
    elif user:
        for fields in _lines(root, "/etc/passwd", user, 4):
            uid, gid = _id(fields[2]), _id(fields[3])
            break
    if _is_id(group):
        gid = _id(group)
    elif group:
        for fields in _lines(root, "/etc/group", group, 3):
            gid = _id(fields[2])
            break
    return uid, gid


def _lines(root: str, path: str, name: str, least: int) -> Iterator[list[str]]:
    try:
        with open(inroot.resolve(root, path), encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.strip().split(":")
                if len(fields) >= least and fields[0] == name:
                    yield fields
    except (FileNotFoundError, NotADirectoryError):
        return


def _is_id(text: str) -> bool:
    """Whether it is an id; a number that is too great for one is looked up as a name."""
    return _NUMBER.fullmatch(text) is not None and int(text) <= _GREATEST


def _id(text: str) -> int:
    return int(text) if _is_id(text) else 0
