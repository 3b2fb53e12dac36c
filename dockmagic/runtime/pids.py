"""Processes by their numbers: all of a container's, as the engine's pid namespace numbers them, and when one began."""

from __future__ import annotations

import os


def started_at(pid: int) -> str:
    """When a process started, in clock ticks since boot: with its pid, its identity. Raises OSError when it is gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19].decode()


def pids_of(first: int) -> list[int]:
    """The processes in the pid namespace of ``first``; where that is the engine's own, its descendants."""
    try:
        namespace = os.readlink(f"/proc/{first}/ns/pid")
    except OSError:
        return []
    if namespace == os.readlink("/proc/self/ns/pid"):
        return descendants(first)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    found.append(int(name))
            except OSError:
                continue  # ended meanwhile, or another user's
    return sorted(found)


def descendants(first: int) -> list[int]:
    """``first`` and all its children, theirs, and so on."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found = [first]
    for pid in found:
        found.extend(children.get(pid, ()))
    return sorted(found)
