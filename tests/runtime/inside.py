"""Functions that a test runs inside the driver (with no more than the standard library, by whatever interpreter)."""

from __future__ import annotations

import os
from pathlib import Path

from tests.runtime.driver import Driver


def mount_something(_driver: Driver, where: str) -> None:
    from dockmagic.runtime import libc

    os.makedirs(where, exist_ok=True)
    libc.mount("tmpfs", where, "tmpfs")
    os.close(os.open(os.path.join(where, "something"), os.O_CREAT))


def list_folder(_driver: Driver, where: str) -> list[str]:
    return os.listdir(where)


def count_descriptors(_driver: Driver) -> int:
    return len(os.listdir("/proc/self/fd"))


def count_mounts(_driver: Driver) -> int:
    return len(Path("/proc/self/mountinfo").read_text().splitlines())
