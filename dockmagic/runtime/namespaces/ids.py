"""Becoming the container's user."""

from __future__ import annotations

import os

from dockmagic.runtime import libc
from dockmagic.runtime.spec import User


def become(user: User) -> None:
    """Groups first: without root they could no longer be set. Clears the capabilities of a user other than root."""
    os.setgroups([user.gid, *(g for g in user.groups if g != user.gid)])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def become_single(user: User) -> None:
    """There is one id, known as 0. Another user is the same id under another name, by one more user namespace."""
    if (user.uid, user.gid) == (0, 0):
        return
    libc.unshare(libc.CLONE_NEWUSER)
    for name, text in (("uid_map", f"{user.uid} 0 1"), ("setgroups", "deny"), ("gid_map", f"{user.gid} 0 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
