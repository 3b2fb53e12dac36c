"""Entering a user namespace in which this user is root.

With newuidmap and newgidmap and a range in /etc/subuid and /etc/subgid, a whole range of ids is mapped; else only
this user's own, as 0.
"""

from __future__ import annotations

import os
from typing import Literal

from dockmagic.runtime import libc


def _subordinate(path: str, names: tuple[str, ...]) -> tuple[int, int] | None:
    """(first, count) of the largest range a file like /etc/subuid gives to one of ``names``."""
    best: tuple[int, int] | None = None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.strip().split(":")
                if len(fields) == 3 and fields[0] in names and fields[1].isdigit() and fields[2].isdigit():
                    found = (int(fields[1]), int(fields[2]))
                    if best is None or found[1] > best[1]:
                        best = found
    except OSError:
        pass
    return best


def _names(uid: int) -> tuple[str, ...]:
    import pwd

    try:
        return (pwd.getpwuid(uid).pw_name, str(uid))
    except KeyError:
        return (str(uid),)


def _commands(pid: int) -> list[list[str]] | None:
    """The two commands that map a range for process ``pid``, or None where there is no range or no helper."""
    uid, gid = os.geteuid(), os.getegid()
    names = _names(uid)
    commands = []
    for tool, own, path in (("newgidmap", gid, "/etc/subgid"), ("newuidmap", uid, "/etc/subuid")):
        found = _subordinate(path, names)
        program = _program(tool)
        if found is None or program is None or found[1] < 1000:
            return None
        first, count = found
        commands.append([program, str(pid), "0", str(own), "1", "1", str(first), str(count)])
    return commands


def enter(also: int = 0) -> Literal["range", "single"]:
    """Move this (single-threaded) process into a new user namespace; ``also`` are more CLONE_NEW* flags.

    Which ids are mapped. Raises OSError where user namespaces are closed to this user.
    """
    uid, gid = os.geteuid(), os.getegid()
    commands = _commands(os.getpid())
    if commands is None:
        libc.unshare(libc.CLONE_NEWUSER | also)
    elif _map_range(commands, also):
        return "range"
    # Where newgidmap did its work and newuidmap failed, the groups are mapped already
    for name, text in (("uid_map", f"0 {uid} 1"), ("setgroups", "deny"), ("gid_map", f"0 {gid} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        except PermissionError:
            if name == "uid_map":
                raise
    return "single"


def _map_range(commands: list[list[str]], also: int) -> bool:
    """unshare, with a helper that maps from outside: it must be forked before and run after."""
    go_read, go_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        code = 1
        try:
            os.close(go_write)
            if os.read(go_read, 1):
                code = _run_all(commands)
        finally:
            os._exit(code)
    os.close(go_read)
    try:
        libc.unshare(libc.CLONE_NEWUSER | also)
        os.write(go_write, b"1")
    finally:
        os.close(go_write)
        _pid, status = os.waitpid(helper, 0)
    return status == 0


def _run_all(commands: list[list[str]]) -> int:
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    for command in commands:
        child = os.posix_spawn(command[0], command, os.environ, file_actions=null)
        if os.waitpid(child, 0)[1]:
            return 1
    return 0


def _program(name: str) -> str | None:
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/bin", "/bin"):
        path = os.path.join(folder, name)
        if os.path.isabs(path) and os.access(path, os.X_OK):
            return path
    return None


def in_initial_namespace() -> bool:
    """Whether this process's ids are the machine's own."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() == ["0", "0", "4294967295"]


def mapped_ids() -> int:
    """How many user ids are mapped in this process's user namespace."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return sum(int(line.split()[2]) for line in file)
