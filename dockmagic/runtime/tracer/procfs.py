"""What the magic names below /proc mean in a container: self, a process's exe, cwd, root and descriptors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from dockmagic.runtime.tracer.namespace import Namespace
from dockmagic.runtime.tracer.task import Task

_MAGIC = (b"exe", b"cwd", b"root")
_NATURAL = (b"ns", b"map_files")
"""Folders whose links name no path."""


class ProcView:
    """The resolver's Magic."""

    def __init__(
        self,
        tasks: Mapping[int, Task],
        namespace: Namespace,
        cwd: Callable[[Task], tuple[bytes, bytes]],
    ) -> None:
        self._tasks = tasks
        self._namespace = namespace
        self._cwd = cwd
        self.first = 0
        """The container's first process, which is /proc/1 in it."""

    def jump(self, path: bytes, last: bool, who: Task) -> bytes | None:
        names = path.split(b"/")
        if len(names) == 3:
            if names[2] == b"self":
                return b"/proc/%d" % who.group
            if names[2] == b"thread-self":
                return b"/proc/%d/task/%d" % (who.group, who.pid)
            if names[2] == b"1":  # what images write to /proc/1/fd/1 is for the container's log
                return b"/proc/%d" % self.first if self.first else None
            return None
        if not names[2].isdigit():
            return None
        pid, rest = int(names[2]), names[3:]
        if len(rest) > 2 and rest[0] == b"task" and rest[1].isdigit():
            pid, rest = int(rest[1]), rest[2:]
        task = self._tasks.get(pid)
        if len(rest) == 1 and rest[0] in _MAGIC and task is not None:
            if rest[0] == b"root":
                return task.fs.root
            if rest[0] == b"cwd":
                return self._cwd(task)[0]
            return task.exe or path
        if len(rest) == 2 and rest[0] in _NATURAL:
            return path
        if len(rest) == 2 and rest[0] == b"fd":
            return self._opened(path, last)
        return None

    def _opened(self, path: bytes, last: bool) -> bytes:
        """A descriptor's file by its own path, so that writing to it is seen; else the kernel follows the link."""
        host = os.readlink(path)
        known = self._namespace.guest(host) if host[:1] == b"/" else None
        if known is None:
            return path
        if last:
            try:
                if not os.path.samestat(os.stat(path), os.lstat(self._namespace.place(known).host)):
                    return path
            except OSError:
                return path
        return known

    def link(self, path: bytes, who: Task) -> bytes | None:
        """What readlink of a canonical path below /proc gives, or None when it is no magic link.

        A descriptor's or another's path is the container's where it has one, else the host's text stays
        (``pipe:[…]``, ``socket:[…]``).
        """
        names = path.split(b"/")
        if len(names) == 3 and names[2] == b"self":
            return b"%d" % who.group
        if len(names) == 3 and names[2] == b"thread-self":
            return b"%d/task/%d" % (who.group, who.pid)
        if len(names) < 4 or not names[2].isdigit():
            return None
        pid, rest = int(names[2]), names[3:]
        if len(rest) > 2 and rest[0] == b"task" and rest[1].isdigit():
            pid, rest = int(rest[1]), rest[2:]
        task = self._tasks.get(pid)
        if len(rest) == 1 and rest[0] in _MAGIC:
            if task is None:
                return None
            if rest[0] == b"root":
                return task.fs.root or b"/"
            if rest[0] == b"cwd":
                return self._cwd(task)[0] or b"/"
            return task.exe or None
        if len(rest) == 2 and rest[0] == b"fd":
            target = os.readlink(path)
            known = self._namespace.guest(target)
            return target if known is None else known or b"/"
        return None
