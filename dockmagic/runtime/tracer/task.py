"""What the tracer knows of each thread it traces."""

from __future__ import annotations

from collections.abc import Callable

from dockmagic.runtime.tracer.identity import Credentials
from dockmagic.runtime.tracer.memory import SLOT, AddressSpace


class FsState:
    """Root, working directory and umask: shared by threads (CLONE_FS), copied by fork."""

    __slots__ = ("cwd", "cwd_host", "generation", "root", "umask")

    def __init__(self) -> None:
        self.root = b""
        """The container's path of this process's root (chroot)."""
        self.cwd = b""
        """The container's canonical path of the working directory; valid with ``generation``, else to be asked for."""
        self.cwd_host = b""
        self.generation = -1
        self.umask = 0o022

    def copy(self) -> FsState:
        twin = FsState()
        twin.root, twin.umask = self.root, self.umask
        twin.cwd, twin.cwd_host, twin.generation = self.cwd, self.cwd_host, self.generation
        return twin


class Task:
    """One traced thread."""

    __slots__ = (
        "after",
        "credentials",
        "exe",
        "fs",
        "group",
        "held",
        "loader",
        "next_exe",
        "pid",
        "prepared",
        "scratch",
        "space",
        "stopped",
        "used",
    )

    def __init__(self, pid: int, group: int, fs: FsState, space: AddressSpace, credentials: Credentials) -> None:
        self.pid = pid
        self.group = group
        """The process it belongs to (tgid)."""
        self.fs = fs
        self.space = space
        self.credentials = credentials
        self.exe = b""
        """The container's path of the program, what /proc/PID/exe shows."""
        self.loader = b""
        """The container's path of the loader that its program names."""
        self.next_exe: tuple[bytes, bytes, bytes, Credentials] | None = None
        """While an exec is under way: its exe, its loader, the name it was called by, who it will be."""
        self.after: Callable[[Task], None] | None = None
        """What to do when the call under way returns; the registers are loaded."""
        self.held = False
        """It stopped before its parent's event told of it, and waits for that."""
        self.stopped = False
        """By a signal (SIGSTOP and the like), until SIGCONT."""
        self.scratch: tuple[int, int] | None = None
        """Address and size of this thread's slot of scratch memory."""
        self.prepared = -1
        """The descriptor that a call before the one under way has been made for (see sockets.py)."""
        self.used = 0
        """Where in the slot the next path goes. Paths rotate, since a restarted call reads the earlier one again."""

    def in_scratch(self, address: int) -> bool:
        """Whether ``address`` is one we put there: a call made again after a signal, translated already."""
        slot = self.scratch
        return slot is not None and slot[0] <= address < slot[0] + slot[1]

    def reserve(self, size: int) -> int | None:
        """An address of the scratch slot with room for ``size`` bytes; None when a (bigger) slot is needed."""
        slot = self.scratch
        if slot is None:
            free = self.space.free
            if not free:
                return None
            slot = self.scratch = free.pop()
            self.used = 0
        address, room = slot
        size = (size + 15) & ~15
        if size > room:
            return None
        if self.used + size > room:
            self.used = 0
        start = address + self.used
        self.used += size
        return start

    def release_scratch(self) -> None:
        if self.scratch is not None and self.scratch[1] >= SLOT:
            self.space.free.append(self.scratch)
        self.scratch = None
