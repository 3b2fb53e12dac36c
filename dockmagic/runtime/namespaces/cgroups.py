"""Control groups: limits, accounting and freezing, as far as this machine lets us.

A container gets a group only when something needs one: a limit at its start, or a pause. (Putting a process into a
group makes the kernel wait for its other processors, 10 ms, which is more than all the rest of a start.) Where groups
can't be written, limits are accepted and have no effect; the probe says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from dockmagic.runtime.namespaces import hierarchy
from dockmagic.runtime.namespaces.hierarchy import Hierarchies
from dockmagic.runtime.spec import Limits

_PARENT = "dockmagic"
_PERIOD = 100_000
"""Microseconds of a CPU quota's period, docker's default."""
_V1_CONTROLLERS = ("memory", "pids", "cpu", "cpuset")


@dataclass(frozen=True)
class Description:
    """``kind``: v1, v2, hybrid or none. ``writable``: whether limits have an effect."""

    kind: str
    writable: bool


def describe() -> Description:
    """What there is on this machine; tries to make a group."""
    group = Group(f"probe-{os.getpid()}")
    try:
        return Description(group.kind, group.make(("memory", "pids")))
    finally:
        group.remove()


def wants_group(limits: Limits) -> bool:
    numbers = (limits.memory, limits.memory_swap, limits.cpus, limits.cpu_shares, limits.pids)
    return any(number is not None for number in numbers) or bool(limits.cpuset)


class Group:
    """One container's groups, a folder a hierarchy. Everything that can't be done is left undone."""

    def __init__(self, name: str, found: Hierarchies | None = None) -> None:
        self._name = name
        self._found = found if found is not None else hierarchy.find()
        self._folders: dict[str, str] = {}
        """controller ("" for version 2) -> this container's folder"""

    @property
    def kind(self) -> str:
        return self._found.kind

    def make(self, controllers: Iterable[str]) -> bool:
        """Make the groups that these controllers need; whether all could be made."""
        complete = True
        for controller in controllers:
            v1 = controller in self._found.v1
            key = controller if v1 else ""
            if key in self._folders:
                continue
            folder = self._make_v1(controller) if v1 else self._make_v2(controller)
            if folder:
                self._folders[key] = folder
            else:
                complete = False
        return complete

    def _make_v1(self, controller: str) -> str:
        parent = os.path.join(self._found.v1[controller], _PARENT)
        folder = os.path.join(parent, self._name)
        try:
            os.makedirs(folder, exist_ok=True)
            if controller == "cpuset":  # a new group has none of either, and takes no process until it has
                for made in (parent, folder):
                    for file in ("cpuset.cpus", "cpuset.mems"):
                        if not _read(f"{made}/{file}").strip():
                            _write(f"{made}/{file}", _read(f"{os.path.dirname(made)}/{file}").strip())
        except OSError:
            return ""
        return folder

    def _make_v2(self, controller: str) -> str:
        """Below the root, or beside this process's own group: one with processes can't have limited children."""
        own = self._found.v2
        if not own:
            return ""
        base = own if own == self._found.v2_root else os.path.dirname(own)
        parent = os.path.join(base, _PARENT)
        folder = os.path.join(parent, self._name)
        try:
            os.makedirs(folder, exist_ok=True)
            if controller == "freezer":
                return folder  # every group of version 2 can be frozen
            if controller not in _read(f"{folder}/cgroup.controllers").split():
                for made in (base, parent):
                    _write(f"{made}/cgroup.subtree_control", " ".join(f"+{name}" for name in _V1_CONTROLLERS))
        except OSError:
            try:
                os.rmdir(folder)
            except OSError:
                pass
            return ""
        return folder

    def apply(self, limits: Limits) -> None:
        """Set the limits that are not None. What the kernel refuses (swap accounting, often) is passed over."""
        wanted = [
            name
            for name, value in (
                ("memory", limits.memory or limits.memory_swap),
                ("pids", limits.pids),
                ("cpu", limits.cpus or limits.cpu_shares),
                ("cpuset", limits.cpuset),
            )
            if value
        ]
        self.make(wanted)
        for controller in wanted:
            v1 = controller in self._found.v1
            folder = self._folders.get(controller if v1 else "")
            if folder:
                for file, text in (_v1_settings if v1 else _v2_settings)(controller, limits):
                    try:
                        _write(f"{folder}/{file}", text)
                    except OSError:
                        continue

    def join(self) -> None:
        """Put the calling process in."""
        self.add(0)

    def add(self, pid: int) -> None:
        for folder in self._folders.values():
            try:
                _write(f"{folder}/cgroup.procs", str(pid))
            except OSError:
                continue  # ended meanwhile, or not ours to move

    def freeze(self, pids: Iterable[int]) -> bool:
        """Stop all processes at once; False where there is no freezer."""
        if not self.make(("freezer",)):
            return False
        for pid in pids:
            self.add(pid)
        return self._set_frozen(True)

    def thaw(self) -> bool:
        return self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> bool:
        try:
            if "freezer" in self._folders:
                state = f"{self._folders['freezer']}/freezer.state"
                _write(state, "FROZEN" if frozen else "THAWED")
                return _until(lambda: _read(state).strip() == ("FROZEN" if frozen else "THAWED"))
            if "" in self._folders:
                _write(f"{self._folders['']}/cgroup.freeze", "1" if frozen else "0")
                events = f"{self._folders['']}/cgroup.events"
                return _until(lambda: f"frozen {int(frozen)}" in _read(events))
        except OSError:
            pass
        return False

    @property
    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        try:
            if "memory" in self._folders:
                text = _read(f"{self._folders['memory']}/memory.oom_control")
            elif "" in self._folders:
                text = _read(f"{self._folders['']}/memory.events")
            else:
                return 0
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    def remove(self) -> None:
        """After the last process has ended."""
        for folder in self._folders.values():
            try:
                os.rmdir(folder)
            except OSError:
                continue
        self._folders.clear()


def _v1_settings(controller: str, limits: Limits) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    if controller == "memory":
        if limits.memory is not None:
            out.append(("memory.limit_in_bytes", str(limits.memory)))
        if limits.memory_swap is not None:
            out.append(("memory.memsw.limit_in_bytes", str(limits.memory_swap)))
            if limits.memory is not None:  # once more: a lower one than the old sum could not be set before
                out.append(("memory.limit_in_bytes", str(limits.memory)))
    elif controller == "pids":
        out.append(("pids.max", _maximum(limits.pids)))
    elif controller == "cpu":
        if limits.cpus is not None:
            out.append(("cpu.cfs_period_us", str(_PERIOD)))
            out.append(("cpu.cfs_quota_us", str(int(limits.cpus * _PERIOD) or -1)))
        if limits.cpu_shares:
            out.append(("cpu.shares", str(limits.cpu_shares)))
    elif controller == "cpuset":
        out.append(("cpuset.cpus", limits.cpuset))
    return out


def _v2_settings(controller: str, limits: Limits) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    if controller == "memory":
        if limits.memory is not None:
            out.append(("memory.max", _maximum(limits.memory)))
        if limits.memory_swap is not None:
            swap = limits.memory_swap - (limits.memory or 0) if limits.memory_swap >= 0 else None
            out.append(("memory.swap.max", _maximum(swap)))
    elif controller == "pids":
        out.append(("pids.max", _maximum(limits.pids)))
    elif controller == "cpu":
        if limits.cpus is not None:
            out.append(("cpu.max", f"{int(limits.cpus * _PERIOD)} {_PERIOD}" if limits.cpus else f"max {_PERIOD}"))
        if limits.cpu_shares:
            # runc's conversion of the range 2..262144 to 1..10000
            out.append(("cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262142)))
    elif controller == "cpuset":
        out.append(("cpuset.cpus", limits.cpuset))
    return out


def _maximum(number: int | None) -> str:
    return "max" if number is None or number < 0 else str(number)


def join_same(target: int) -> None:
    """Put the calling process into those control groups of ``target`` that are not its own already."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = set(file.read().splitlines())
    try:
        with open(f"/proc/{target}/cgroup", encoding="utf-8") as file:
            differing = [line for line in file.read().splitlines() if line not in own]
    except OSError:
        return
    if not differing:
        return
    found = hierarchy.find()
    current = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in own}
    for line in differing:
        _number, controllers, path = line.split(":", 2)
        base = found.v1.get(controllers.split(",")[0], "") if controllers else found.v2
        if base:
            folder = os.path.normpath(os.path.join(base, os.path.relpath(path, current.get(controllers, "/"))))
            try:
                _write(f"{folder}/cgroup.procs", "0")
            except OSError:
                continue


def _until(done: object, seconds: float = 2.0) -> bool:
    """Freezing has no event to wait for in version 1: look again, a little later each time."""
    assert callable(done)
    end = time.monotonic() + seconds
    pause = 0.0005
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return True


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
