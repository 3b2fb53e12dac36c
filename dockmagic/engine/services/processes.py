"""docker top: a container's processes, told by /proc."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from typing import Any

from dockmagic.engine.services.containers.record import Container
from dockmagic.errors import Conflict, DockmagicError, InvalidParameter

_TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
_TICKS = os.sysconf("SC_CLK_TCK")


def top(container: Container, arguments: str) -> dict[str, Any]:
    """The API's ContainerTopResponse. Raises Conflict when it does not run, InvalidParameter for odd arguments."""
    process = container.process
    if process is None:
        raise Conflict(f"container {container.id} is not running")
    if container.record.status == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    pids = process.pids()
    if arguments.strip() == "-ef":
        rows = [row for row in (_row(pid) for pid in pids) if row]
        return {"Processes": rows, "Titles": _TITLES}
    return _by_ps(pids, arguments)


def _by_ps(pids: list[int], arguments: str) -> dict[str, Any]:
    if shutil.which("ps") is None:
        raise InvalidParameter(f"ps {arguments}: this machine has no ps, so only the arguments -ef are known")
    done = subprocess.run(["ps", *arguments.split()], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise DockmagicError(f"ps: exit status {done.returncode}: {done.stderr.strip()}")
    lines = done.stdout.splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise InvalidParameter("Couldn't find PID field in ps output")
    column = titles.index("PID")
    wanted = {str(pid) for pid in pids}
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return {"Processes": [row for row in rows if len(row) > column and row[column] in wanted], "Titles": titles}


def _row(pid: int) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            line = words.read()
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:  # it ended meanwhile
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12])
    command = line.replace(b"\0", b" ").decode("utf-8", "replace").strip() or f"[{name}]"
    started, terminal = _started(int(fields[19])), _tty(int(fields[4]))
    return [_user(owner), str(pid), fields[1], "0", started, terminal, _time(ticks), command]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _started(ticks: int) -> str:
    with open("/proc/uptime", encoding="ascii") as file:
        uptime = float(file.read().split()[0])
    moment = time.time() - uptime + ticks / _TICKS
    return time.strftime("%H:%M" if time.time() - moment < 86400 else "%b%d", time.localtime(moment))


def _tty(number: int) -> str:
    if not number:
        return "?"
    major, minor = os.major(number), os.minor(number)
    return f"pts/{minor}" if 136 <= major <= 143 else f"tty{minor}"


def _time(ticks: int) -> str:
    seconds = ticks // _TICKS
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
