"""Files below /proc whose text would name the host's users, paths or mounts: made as the container should see them.

A made file is a memfd of the tracer's, opened by its path in /proc, so nothing has to be written to a disk.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping

from dockmagic.runtime.tracer.namespace import Mounted, Namespace
from dockmagic.runtime.tracer.task import Task

_KEPT = 64
"""Made files that stay open, so that the process that asked has opened its one before it goes."""
_ROOT_CAPABILITIES = b"00000000a80425fb"  # docker's default set


class ProcFiles:
    """Of one container; ``visible`` gives a path as a task sees it from its own root."""

    def __init__(
        self,
        tasks: Mapping[int, Task],
        namespace: Namespace,
        hostname: Callable[[], str],
        visible: Callable[[Task, bytes], bytes],
    ) -> None:
        self._tasks = tasks
        self._namespace = namespace
        self._hostname = hostname
        self._visible = visible
        self._made: deque[int] = deque()
        self.copies = b""
        """The folder of the copies of programs."""

    def stand_in(self, path: bytes, who: Task) -> bytes | None:
        """A host's path to open instead of the canonical ``path`` below /proc, or None. Raises OSError."""
        names = path.split(b"/")
        if path == b"/proc/sys/kernel/hostname":
            return self._make(self._hostname().encode() + b"\n")
        if len(names) < 4 or not names[2].isdigit():
            return None
        pid, rest = int(names[2]), names[3:]
        if len(rest) == 3 and rest[0] == b"task" and rest[1].isdigit():
            pid, rest = int(rest[1]), rest[2:]
        if len(rest) != 1 or (task := self._tasks.get(pid)) is None:
            return None
        if rest[0] == b"status":
            return self._make(self._status(path, task))
        if rest[0] == b"stat":
            return self._make(self._stat(path, task))
        if rest[0] == b"maps":
            return self._make(self._maps(path, task))
        if rest[0] in (b"mounts", b"mountinfo"):
            lines = self._mountinfo(who) if rest[0] == b"mountinfo" else self._mounts(who)
            return self._make(b"".join(lines))
        return None

    def _make(self, text: bytes) -> bytes:
        fd = os.memfd_create("proc")
        os.write(fd, text)
        self._made.append(fd)
        if len(self._made) > _KEPT:
            os.close(self._made.popleft())
        return b"/proc/%d/fd/%d" % (os.getpid(), fd)

    def _status(self, path: bytes, task: Task) -> bytes:
        credentials = task.credentials
        told = {
            b"Uid": b"\t".join(b"%d" % i for i in credentials.users),
            b"Gid": b"\t".join(b"%d" % i for i in credentials.groups),
            b"Groups": b"".join(b"%d " % i for i in credentials.supplementary),
            b"TracerPid": b"0",
        }
        if task.stopped:
            told[b"State"] = b"T (stopped)"
        if credentials.privileged:
            told |= {b"CapPrm": _ROOT_CAPABILITIES, b"CapEff": _ROOT_CAPABILITIES, b"CapBnd": _ROOT_CAPABILITIES}
        with open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        out = []
        for line in lines:
            key = line.partition(b":")[0]
            out.append(key + b":\t" + told[key] + b"\n" if key in told else line)
        return b"".join(out)

    def _stat(self, path: bytes, task: Task) -> bytes:
        """A process stopped for its tracer is running, as far as the container knows, or stopped by a signal."""
        with open(path, "rb") as file:
            name, _, rest = file.read().rpartition(b") ")
        if rest.startswith(b"t"):
            rest = (b"T" if task.stopped else b"R") + rest[1:]
        return name + b") " + rest

    def _maps(self, path: bytes, task: Task) -> bytes:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
        out = []
        for line in lines:
            at = line.find(b"/")
            if at >= 0:
                host = line[at:]
                if self.copies and host.startswith(self.copies + b"/"):
                    known: bytes | None = task.loader if host.endswith(b"/ld.so") else task.exe
                else:
                    known = self._namespace.guest(host)
                line = line[:at] + (known or host)
            out.append(line + b"\n")
        return b"".join(out)

    def _shown(self, who: Task) -> list[tuple[bytes, Mounted]]:
        shown = [(mount.target, mount) for mount in self._namespace.mounts if mount.kind != "device"]
        root = who.fs.root
        return [
            (self._visible(who, target), mount)
            for target, mount in shown
            if not root or target == root or target.startswith(root + b"/")
        ]

    def _mounts(self, who: Task) -> list[bytes]:
        lines = []
        for target, mount in self._shown(who):
            mode = b"ro" if mount.read_only else b"rw"
            kind = _kind(mount)
            lines.append(b"%s %s %s %s,relatime 0 0\n" % (kind, _escaped(target), kind, mode))
        return lines

    def _mountinfo(self, who: Task) -> list[bytes]:
        lines = []
        for number, (target, mount) in enumerate(self._shown(who), 100):
            mode = b"ro" if mount.read_only else b"rw"
            kind = _kind(mount)
            try:
                device = os.stat(mount.source).st_dev
            except OSError:
                device = 0
            lines.append(
                b"%d %d %d:%d / %s %s,relatime - %s %s %s\n"
                % (number, 100 if number > 100 else 99, os.major(device), os.minor(device), _escaped(target), mode,
                   kind, kind, mode)
            )  # fmt: skip
        return lines


def _kind(mount: Mounted) -> bytes:
    return b"none" if mount.kind == "bind" else mount.kind.encode()


def _escaped(path: bytes) -> bytes:
    """As fs/proc_namespace.c's mangle."""
    for character in b"\\ \t\n#":
        path = path.replace(b"%c" % character, b"\\%03o" % character)
    return path
