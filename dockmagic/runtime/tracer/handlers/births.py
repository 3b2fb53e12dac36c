"""A limit on the number of a container's tasks (docker run --pids-limit), which a cgroup would hold elsewhere."""

from __future__ import annotations

import errno

from dockmagic.runtime.tracer.guest import Guest, Handler
from dockmagic.runtime.tracer.task import Task


def handlers(guest: Guest, limit: int) -> dict[str, Handler]:
    """For the calls that make tasks; threads count, as in a cgroup."""

    def birth(_task: Task) -> int | None:
        return -errno.EAGAIN if len(guest.tasks) >= limit else None

    return {"clone": birth, "fork": birth, "vfork": birth}
