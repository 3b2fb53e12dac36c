"""What ps(1) says of processes, told by /proc: its usual forms (``-ef``, ``aux``, ``-eo pid,user,args``)."""

from __future__ import annotations

import grp
import os
import pwd
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Seen:
    """One process as /proc shows it. ``ticks`` of processor time; ``started`` in seconds since the epoch."""

    pid: int
    name: str
    line: str
    state: str
    ppid: int
    group: int
    session: int
    terminal: int
    ticks: int
    nice: int
    threads: int
    started: float
    size: int
    """bytes of address space"""
    resident: int
    """bytes"""
    uid: int
    gid: int

    @property
    def elapsed(self) -> float:
        return max(time.time() - self.started, 0.01)


@dataclass(frozen=True)
class Column:
    """``title`` over the column, ``of`` one process in it."""

    title: str
    of: Callable[[Seen], str]


def look(pid: int) -> Seen | None:
    """None when it has ended meanwhile."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            line = words.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        with open("/proc/uptime", encoding="ascii") as file:
            booted = time.time() - float(file.read().split()[0])
        owner = os.stat(f"/proc/{pid}")
    except OSError:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    number = [int(value) if value.lstrip("-").isdecimal() else 0 for value in fields]
    return Seen(
        pid, name, line or f"[{name}]", fields[0], number[1], number[2], number[3], number[4], number[11] + number[12],
        number[16], number[17], booted + number[19] / _TICKS, number[20], number[21] * _PAGE, owner.st_uid,
        owner.st_gid,
    )  # fmt: skip


def columns(arguments: str) -> list[Column] | None:
    """The columns that ps shows with ``arguments``; None for arguments this module does not know."""
    words = arguments.split()
    chosen: list[Column] = []
    flags = ""
    while words:
        word = words.pop(0)
        match = re.fullmatch(r"(-?)([aefAxu]*)(o?)(.*)", word)
        if word in {"-o", "o", "--format"} or (match and match[3] and (not match[4] or match[1])):
            names = match[4] if match and match[4] and word != "--format" else words.pop(0) if words else ""
            flags += match[2] if match and word != "--format" else ""
            found = [_named(name) for name in names.split(",") if name]
            if not found or None in found:
                return None
            chosen += [column for column in found if column]
        elif match and not match[3] and not match[4] and match[2]:
            flags += match[2]
        else:
            return None
    if chosen:
        return chosen
    if "u" in flags:
        return [_COLUMNS[name] for name in _USER.split()]
    if "f" in flags:
        return [_COLUMNS[name] for name in _FULL.split()]
    return [_COLUMNS[name] for name in _PLAIN] if set(flags) & set("eA") else None


def table(pids: Sequence[int], shown: Sequence[Column]) -> list[list[str]]:
    """A row for each process that is still there."""
    seen = (look(pid) for pid in pids)
    return [[column.of(one) for column in shown] for one in seen if one is not None]


def _named(text: str) -> Column | None:
    name, equals, title = text.partition("=")
    column = _COLUMNS.get(name.lower())
    if column is None:
        return None
    return Column(title, column.of) if equals else column


def _user(one: Seen) -> str:
    try:
        return pwd.getpwuid(one.uid).pw_name
    except KeyError:
        return str(one.uid)


def _group(one: Seen) -> str:
    try:
        return grp.getgrgid(one.gid).gr_name
    except KeyError:
        return str(one.gid)


def _started(one: Seen) -> str:
    return time.strftime("%H:%M" if one.elapsed < 86400 else "%b%d", time.localtime(one.started))


def _terminal(one: Seen) -> str:
    if not one.terminal:
        return "?"
    major, minor = os.major(one.terminal), os.minor(one.terminal)
    return f"pts/{minor}" if 136 <= major <= 143 else f"tty{minor}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _elapsed(one: Seen) -> str:
    days, rest = divmod(int(one.elapsed), 86400)
    text = _clock(rest)
    return f"{days}-{text}" if days else text.removeprefix("00:")


def _minutes(one: Seen) -> str:
    seconds = one.ticks // _TICKS
    return f"{seconds // 60}:{seconds % 60:02}"


def _state(one: Seen) -> str:
    low = "N" if one.nice > 0 else "<" if one.nice < 0 else ""
    return one.state + low + ("s" if one.session == one.pid else "") + ("l" if one.threads > 1 else "")


def _share_of_time(one: Seen) -> float:
    return 100 * one.ticks / _TICKS / one.elapsed


def _share_of_memory(one: Seen) -> str:
    return f"{100 * one.resident / (os.sysconf('SC_PHYS_PAGES') * _PAGE):.1f}"


_COLUMNS = {
    "pid": Column("PID", lambda one: str(one.pid)),
    "ppid": Column("PPID", lambda one: str(one.ppid)),
    "pgid": Column("PGID", lambda one: str(one.group)),
    "sid": Column("SID", lambda one: str(one.session)),
    "uid": Column("UID", lambda one: str(one.uid)),
    "gid": Column("GID", lambda one: str(one.gid)),
    "user": Column("USER", _user),
    "group": Column("GROUP", _group),
    "owner": Column("UID", _user),
    "c": Column("C", lambda one: str(int(_share_of_time(one)))),
    "stime": Column("STIME", _started),
    "start": Column("START", _started),
    "tty": Column("TTY", _terminal),
    "tt": Column("TT", _terminal),
    "time": Column("TIME", lambda one: _clock(one.ticks // _TICKS)),
    "bsdtime": Column("TIME", _minutes),
    "etime": Column("ELAPSED", _elapsed),
    "etimes": Column("ELAPSED", lambda one: str(int(one.elapsed))),
    "stat": Column("STAT", _state),
    "s": Column("S", lambda one: one.state),
    "vsz": Column("VSZ", lambda one: str(one.size // 1024)),
    "rss": Column("RSS", lambda one: str(one.resident // 1024)),
    "%cpu": Column("%CPU", lambda one: f"{_share_of_time(one):.1f}"),
    "%mem": Column("%MEM", _share_of_memory),
    "ni": Column("NI", lambda one: str(one.nice)),
    "nlwp": Column("NLWP", lambda one: str(one.threads)),
    "comm": Column("COMMAND", lambda one: one.name),
    "args": Column("COMMAND", lambda one: one.line),
    "cmd": Column("CMD", lambda one: one.line),
}
_PLAIN = ("pid", "tty", "time", "cmd")
_FULL = "owner pid ppid c stime tty time cmd"
_USER = "user pid %cpu %mem vsz rss tty stat start bsdtime args"
_COLUMNS |= {
    other: _COLUMNS[name]
    for other, name in (
        ("pcpu", "%cpu"), ("pmem", "%mem"), ("vsize", "vsz"), ("rssize", "rss"), ("command", "args"), ("ucmd", "comm"),
        ("cputime", "time"), ("nice", "ni"), ("thcount", "nlwp"), ("state", "s"), ("tname", "tty"), ("euser", "user"),
        ("sess", "sid"), ("pgrp", "pgid"), ("bsdstart", "start"),
    )
}  # fmt: skip
