"""Network namespaces kept by a file: made, entered for a moment, let go.

A thread can be in another network namespace than its process. So each visit is a short-lived thread, and what it opens
there (sockets above all) goes on belonging to that namespace.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from dockmagic.runtime import libc
from dockmagic.runtime.namespaces.network import raise_loopback

Result = TypeVar("Result")


def make(path: str) -> None:
    """A new network namespace with its loopback up, held by a mount on the file ``path`` until :func:`remove`.

    One that is there already is kept: the mount is seen by every process in the engine's mount namespace.
    """
    if exists(path):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))

    def hold() -> None:
        libc.unshare(libc.CLONE_NEWNET)
        raise_loopback()
        libc.mount("/proc/thread-self/ns/net", path, None, libc.MS_BIND)

    _in_thread(hold)


def exists(path: str) -> bool:
    """Whether ``path`` holds a namespace: the file of the namespace's own file system is then what is found there."""
    try:
        return os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev
    except OSError:
        return False


def remove(path: str) -> None:
    """Let go of it; it ends with the last process in it."""
    try:
        libc.umount(path)
    except OSError:
        pass  # it was never mounted, or an engine before this one let go of it
    try:
        os.unlink(path)
    except OSError:
        pass


def inside(path: str, action: Callable[[], Result]) -> Result:
    """Run ``action`` in the namespace held by ``path`` (a file, or a process's ``/proc/PID/ns/net``)."""

    def enter() -> Result:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc.setns(fd, libc.CLONE_NEWNET)
        finally:
            os.close(fd)
        return action()

    return _in_thread(enter)


def _in_thread(action: Callable[[], Result]) -> Result:
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:  # raised again in the caller
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
