"""Becoming the container's user."""

from __future__ import annotations

import os

from dockmagic.runtime import libc
from dockmagic.runtime.spec import User

_APT_CONFIG = "/dev/dockmagic/apt.conf"


def help_apt(dev: str) -> None:
    """With one id, apt's methods find that they could not become another user, and give up: tell apt not to try.

    In ``dev``, the folder of the container's /dev, so that no layer gets it; see :func:`environment`.
    """
    os.mkdir(f"{dev}/dockmagic", 0o755)
    with open(f"{dev}/dockmagic/apt.conf", "w", encoding="ascii") as file:
        file.write('APT::Sandbox::User "root";\n')


def environment(env: tuple[str, ...]) -> tuple[str, ...]:
    """What a process with one id is told besides its own environment; runs inside the container."""
    if any(item.startswith("APT_CONFIG=") for item in env) or not os.path.exists(_APT_CONFIG):
        return env
    return (*env, f"APT_CONFIG={_APT_CONFIG}")


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
