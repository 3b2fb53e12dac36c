"""How a forked process becomes an exec: a process more in a running container."""

from __future__ import annotations

import os
import socket
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.namespaces import console
from dockmagic.runtime.namespaces.cgroups import join_same
from dockmagic.runtime.namespaces.container import finish, forbid_imports
from dockmagic.runtime.namespaces.ground import Ground
from dockmagic.runtime.spec import Spec

_KINDS = ("ipc", "uts", "net", "cgroup", "mnt")


def open_namespaces(target: int) -> dict[str, int]:
    """The namespaces of ``target`` in which it differs from the caller, opened. Raises OSError when it has ended."""
    found = {}
    for kind in ("pid", *_KINDS):
        path = f"/proc/{target}/ns/{kind}"
        try:
            if os.readlink(path) == os.readlink(f"/proc/self/ns/{kind}"):
                continue
            found[kind] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not os.path.exists(f"/proc/{target}"):
                raise
    return found


def become_exec(
    spec: Spec, ground: Ground, target: int, spaces: dict[str, int], stdio: tuple[int, int, int], shim: socket.socket
) -> NoReturn:
    """Everything from the fork (already in the container's pid namespace) to the exec of ``spec.args``."""
    join_same(target)
    root = os.open(f"/proc/{target}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not ground.rootless:
        libc.prctl(libc.PR_SET_DUMPABLE, 0)  # from here on processes in the container can see this one
    forbid_imports()
    for kind in _KINDS:
        if kind in spaces:
            libc.setns(spaces[kind])
    os.fchdir(root)
    os.chroot(".")
    streams = stdio
    if spec.terminal:
        near, far, _path = console.open_console(spec.console_size)
        messages.send(shim, {"gives": ["console"]}, (near,))
        os.close(near)
        console.take_console(far, spec.user.uid)
        streams = (far, far, far)
    finish(spec, ground, streams, shim)
