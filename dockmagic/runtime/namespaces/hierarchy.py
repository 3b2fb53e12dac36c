"""Where this process's control groups are: version 1, version 2, or both beside each other (hybrid)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hierarchies:
    """``v1``: controller -> the folder of this process's own group; ``v2``: the same of the unified hierarchy."""

    v1: dict[str, str] = field(default_factory=dict)
    v2: str = ""
    v2_root: str = ""

    @property
    def kind(self) -> str:
        if self.v1 and self.v2:
            return "hybrid"
        return "v1" if self.v1 else "v2" if self.v2 else "none"


def find() -> Hierarchies:
    """Read /proc/self/cgroup and the mount table; a hierarchy that is not mounted is left out."""
    mounts = _mounts()
    v1: dict[str, str] = {}
    v2 = v2_root = ""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return Hierarchies()
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if not controllers:
            if "" in mounts:
                v2_root = mounts[""][1]
                v2 = _inside(mounts[""], path)
            continue
        for controller in controllers.split(","):
            if controller in mounts:
                v1[controller] = _inside(mounts[controller], path)
    return Hierarchies(v1, v2, v2_root)


def _inside(mounted: tuple[str, str], path: str) -> str:
    root, place = mounted
    inner = path[len(root) :] if root != "/" and path.startswith(root) else path
    folder = os.path.normpath(place + "/" + inner)
    return folder if os.path.isdir(folder) else place


def _mounts() -> dict[str, tuple[str, str]]:
    """Controller ("" for version 2) -> (which group is mounted, where)."""
    found: dict[str, tuple[str, str]] = {}
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if " - cgroup" not in line:
                    continue
                left, _, right = line.partition(" - ")
                fields = left.split()
                kind, _source, options = right.split(None, 2)
                if kind == "cgroup2":
                    found.setdefault("", (fields[3], fields[4]))
                elif kind == "cgroup":
                    for option in options.strip().split(","):
                        found.setdefault(option, (fields[3], fields[4]))
    except OSError:
        pass
    return found
