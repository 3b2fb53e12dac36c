"""Users by name, as the container's own /etc/passwd and /etc/group know them.

The rules and words are those of moby's ``user`` package (github.com/moby/sys/user, GetExecUser).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dockmagic import inroot
from dockmagic.errors import InvalidParameter
from dockmagic.runtime.spec import User

_HIGHEST_ID = 2**31 - 1


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(rootfs: str, user: str, group_add: Iterable[str] = ()) -> User:
    """Numbers, supplementary groups and home of ``user``: ``""``, ``name``, ``uid``, ``name:group``, ``uid:gid``.

    ``group_add`` are more groups (names or numbers). Raises InvalidParameter with docker's words.
    """
    who, _, group = user.partition(":")
    accounts = list(_accounts(rootfs))
    groups = list(_groups(rootfs))
    account = _account(accounts, who)
    gid = account.gid
    supplementary: list[int] = []
    if group:
        gid = _group(groups, group)
    elif account.name:
        supplementary = [g.gid for g in groups if account.name in g.members]
    for name in group_add:
        number = _group(groups, name, adding=True)
        if number not in supplementary:
            supplementary.append(number)
    return User(account.uid, gid, tuple(supplementary), account.home)


def _account(accounts: list[_Account], who: str) -> _Account:
    for account in accounts:
        if account.name == who or (not who and account.uid == 0):
            return account
    number = _number(who or "0")
    if number is None:
        raise InvalidParameter(f"unable to find user {who}: no matching entries in passwd file")
    if number > _HIGHEST_ID:
        raise InvalidParameter(f"uids and gids must be in range 0-{_HIGHEST_ID}")
    for account in accounts:
        if account.uid == number:
            return account
    return _Account("", number, 0, "/")


def _group(groups: list[_Group], name: str, *, adding: bool = False) -> int:
    for group in groups:
        if group.name == name:
            return group.gid
    number = _number(name)
    if number is None:
        if adding:
            raise InvalidParameter(f"Unable to find group {name}")
        raise InvalidParameter(f"unable to find group {name}: no matching entries in group file")
    if number > _HIGHEST_ID:
        raise InvalidParameter(f"uids and gids must be in range 0-{_HIGHEST_ID}")
    return number


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _lines(rootfs: str, path: str) -> Iterator[list[str]]:
    """The fields of each line of a colon-separated file inside ``rootfs``; nothing when it is not there."""
    try:
        # Not blocking: an image may have put a FIFO there
        fd = os.open(inroot.resolve(rootfs, path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    yield line.strip().split(":")
    except OSError:
        return


def _accounts(rootfs: str) -> Iterator[_Account]:
    for fields in _lines(rootfs, "/etc/passwd"):
        if len(fields) >= 4:
            uid, gid = _number(fields[2]), _number(fields[3])
            home = fields[5] if len(fields) > 5 and fields[5] else "/"
            yield _Account(fields[0], uid or 0, gid or 0, home)


def _groups(rootfs: str) -> Iterator[_Group]:
    for fields in _lines(rootfs, "/etc/group"):
        if len(fields) >= 3:
            members = fields[3].split(",") if len(fields) > 3 else []
            yield _Group(fields[0], _number(fields[2]) or 0, tuple(m for m in members if m))
