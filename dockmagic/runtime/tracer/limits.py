"""A memory limit without cgroups: now and then the tracer adds up what the container uses, and ends the biggest."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dockmagic.runtime.tracer.task import Task

PERIOD = 0.1
"""Seconds between two looks. What is taken and given back in between is not seen."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """``limit`` in bytes of resident memory, not counting files' pages."""

    def __init__(self, tasks: Mapping[int, Task], limit: int) -> None:
        self._tasks = tasks
        self._limit = limit

    def over(self) -> int | None:
        """The pid of the process to end, when all together use more than the limit."""
        used = {group: _resident(group) for group in {task.group for task in self._tasks.values()}}
        if sum(used.values()) <= self._limit:
            return None
        return max(used, key=lambda group: used[group])


def _resident(pid: int) -> int:
    """Bytes of resident memory that is no file's, from /proc/PID/statm."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            words = file.read().split()
    except OSError:
        return 0  # it has ended
    return (int(words[1]) - int(words[2])) * _PAGE
