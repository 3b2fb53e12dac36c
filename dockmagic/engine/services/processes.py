"""docker top: a container's processes, told by /proc."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.ps import columns, table
from dockmagic.errors import Conflict, DockmagicError, InvalidParameter


def top(container: Container, arguments: str) -> dict[str, Any]:
    """The API's ContainerTopResponse. Raises Conflict when it does not run, InvalidParameter for odd arguments."""
    process = container.process
    if process is None:
        raise Conflict(f"container {container.id} is not running")
    if container.record.status == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    pids = process.pids()
    shown = columns(arguments)
    if shown is None:
        return _by_ps(pids, arguments)
    titles = [column.title for column in shown]
    if "PID" not in titles:
        raise DockmagicError("Couldn't find PID field in ps output")
    return {"Processes": table(pids, shown), "Titles": titles}


def _by_ps(pids: list[int], arguments: str) -> dict[str, Any]:
    if shutil.which("ps") is None:
        raise InvalidParameter(f"ps {arguments}: this machine has no ps, so only the usual arguments are known")
    done = subprocess.run(["ps", *arguments.split()], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise DockmagicError(f"ps: exit status {done.returncode}: {done.stderr.strip()}")
    lines = done.stdout.splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise DockmagicError("Couldn't find PID field in ps output")
    column = titles.index("PID")
    wanted = {str(pid) for pid in pids}
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return {"Processes": [row for row in rows if len(row) > column and row[column] in wanted], "Titles": titles}
