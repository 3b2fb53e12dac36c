"""One container as the handlers know it: its tasks, namespace, files, and how to read and rewrite a stopped call."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TypeAlias

from dockmagic.runtime.tracer.arch import Architecture
from dockmagic.runtime.tracer.copyup import CopyUp
from dockmagic.runtime.tracer.files import Files
from dockmagic.runtime.tracer.kernel import AT_FDCWD, fail
from dockmagic.runtime.tracer.namespace import Namespace, Place
from dockmagic.runtime.tracer.procfiles import ProcFiles
from dockmagic.runtime.tracer.procfs import ProcView
from dockmagic.runtime.tracer.registers import Registers
from dockmagic.runtime.tracer.resolver import Resolver
from dockmagic.runtime.tracer.task import Task

_SLASH = 0x2F

Handler: TypeAlias = "Callable[[Task], int | None]"
"""Treats a call that stopped at its entry: None lets it run as it is, :data:`CHANGED` with the registers as they are
now, any other number is its result (negative: an errno) and it doesn't run. Raises OSError to fail it."""

CHANGED = 1 << 70


class NeedScratch(Exception):
    """The handler wants ``size`` bytes of scratch memory in the process; the loop makes them and calls it again."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Guest:
    """See the module. ``words`` are the registers of the task being treated, ``args`` their places by argument."""

    def __init__(
        self, arch: Architecture, namespace: Namespace, copy_up: CopyUp | None, hostname: str, domainname: str = ""
    ) -> None:
        self.arch = arch
        self.registers = Registers(arch)
        self.words = self.registers.words
        self.args = arch.arguments
        self.namespace = namespace
        self.files = Files(arch)
        self.copy_up = copy_up
        self.hostname = hostname
        self.domainname = domainname
        self.tasks: dict[int, Task] = {}
        self.unprivileged = os.geteuid() != 0
        self.proc = ProcView(self.tasks, namespace, self.cwd)
        self.proc_files = ProcFiles(self.tasks, namespace, lambda: self.hostname, self.visible)
        self.resolver: Resolver[Task] = Resolver(namespace, self.proc, self._admit if self.unprivileged else None)
        self.base = b""
        """The host's folder that the path resolved last was relative to; empty when it was absolute."""

    @property
    def first(self) -> int:
        """The pid of the container's first process; its programs know it as 1, too."""
        return self.proc.first

    @first.setter
    def first(self, pid: int) -> None:
        self.proc.first = pid

    # --- paths ---

    def cwd(self, task: Task) -> tuple[bytes, bytes]:
        """(the container's path, the host's path) of a task's working directory. Raises OSError(ENOENT)."""
        fs = task.fs
        if fs.generation == self.resolver.generation:
            return fs.cwd, fs.cwd_host
        host = os.readlink(b"/proc/%d/cwd" % task.pid)
        guest = self.namespace.guest(host)
        if guest is None or (host.endswith(b" (deleted)") and not os.path.exists(host)):
            raise fail(errno.ENOENT)
        fs.cwd, fs.cwd_host, fs.generation = guest, host, self.resolver.generation
        return guest, host

    def descriptor(self, task: Task, fd: int) -> bytes:
        """The host's path of what a descriptor of the task refers to. Raises OSError(EBADF)."""
        try:
            return os.readlink(b"/proc/%d/fd/%d" % (task.pid, fd))
        except FileNotFoundError:
            raise fail(errno.EBADF) from None

    def resolve(self, task: Task, dirfd: int, path: bytes, follow: bool) -> Place:
        """The place a task means by ``path``. Raises OSError."""
        if not path:
            raise fail(errno.ENOENT)
        if path[0] == _SLASH:
            self.base = b""
            return self.resolver.find(path, follow, task, task.fs.root)
        if dirfd == AT_FDCWD:
            folder, self.base = self.cwd(task)
        else:
            self.base = self.descriptor(task, dirfd)
            known = self.namespace.guest(self.base)
            if known is None or (self.base.endswith(b" (deleted)") and not os.path.exists(self.base)):
                raise fail(errno.ENOENT if self.base.endswith(b" (deleted)") else errno.ENOTDIR)
            folder = known
        root = task.fs.root
        if root:
            folder = folder[len(root) :] if folder.startswith(root) else b""
        return self.resolver.find(folder + b"/" + path, follow, task, root)

    def natural(self, path: bytes, place: Place) -> bool:
        """Whether the kernel would reach the same place by the path as it is (just after resolving it)."""
        return path[0] != _SLASH and place.host == self.base + b"/" + path

    def parent(self, place: Place) -> Place:
        guest = place.guest
        return self.namespace.place(guest[: guest.rfind(b"/")]) if guest else place

    def visible(self, task: Task, guest: bytes) -> bytes:
        """A canonical path as the task sees it from its own root."""
        root = task.fs.root
        if root and (guest == root or guest.startswith(root + b"/")):
            guest = guest[len(root) :]
        return guest or b"/"

    def _admit(self, place: Place) -> None:
        """Make a file of an image usable for the engine's user, whose mode forbids it what root may do."""
        host = place.host.rstrip(b"/")
        if self.copy_up is not None and place.mount is self.namespace.root:
            try:
                if self.copy_up.shared(host, os.lstat(host)):
                    return
            except OSError:
                return
        self.files.open_up(host)

    def forget_folder(self, guest: bytes) -> None:
        """A folder goes away or moves: whoever works in it has to look again."""
        for task in self.tasks.values():
            if task.fs.cwd == guest:
                task.fs.generation = -1
        self.files.forget()

    # --- before changing something ---

    def writable(self, place: Place) -> None:
        """Raises OSError(EROFS) for what is mounted read-only."""
        if place.mount.read_only:
            raise fail(errno.EROFS)

    def own(self, place: Place) -> None:
        """Before a file's content or metadata change: not read-only, and not a layer's."""
        self.writable(place)
        if self.copy_up is None:
            return
        if place.mount is self.namespace.root:
            self.copy_up.ensure(place.host.rstrip(b"/"))
        elif place.guest.startswith(b"/proc/") and b"/fd/" in place.guest:
            try:
                real = os.stat(place.host)
            except OSError:
                return
            if self.copy_up.shared(place.host, real, follow=True):
                raise fail(errno.EROFS)  # a layer's file that has no name here any more

    def own_descriptor(self, task: Task, fd: int) -> bytes:
        """Before what a descriptor refers to changes; the host's path to change it by. Raises OSError."""
        magic = b"/proc/%d/fd/%d" % (task.pid, fd)
        host = self.descriptor(task, fd)
        known = self.namespace.guest(host) if host[:1] == b"/" else None
        if known is None:
            return magic
        place = self.namespace.place(known)
        self.writable(place)
        if self.copy_up is not None and place.mount is self.namespace.root:
            real = os.stat(magic)
            if self.copy_up.shared(magic, real, follow=True):
                now = os.lstat(host)
                if (now.st_dev, now.st_ino) != (real.st_dev, real.st_ino) and self.copy_up.shared(host, now):
                    raise fail(errno.EROFS)  # a layer's file that has no name here any more
                self.copy_up.ensure(host)
                return host
        return magic

    def adding(self, task: Task, place: Place) -> None:
        """Before a name is made at ``place``: the folder is not read-only and this user may write there."""
        if place.mount.read_only or self.namespace.is_mount(place.guest):
            if os.path.lexists(place.host):
                raise fail(errno.EEXIST)
            raise fail(errno.EROFS)
        self._entry(task, place)

    def moving(self, task: Task, place: Place) -> None:
        """Before the name at ``place`` goes or moves: not read-only, no mount, and allowed to this user."""
        self.writable(place)
        if self.namespace.is_mount(place.guest):
            raise fail(errno.EBUSY)
        self._entry(task, place)

    def removing(self, task: Task, place: Place) -> None:
        """The same, when what is there loses a name."""
        self.moving(task, place)
        self.files.removing(place.host.rstrip(b"/"))
        if self.copy_up is not None and place.mount is self.namespace.root:
            self.copy_up.removing(place.host.rstrip(b"/"))

    def _entry(self, task: Task, place: Place) -> None:
        credentials = task.credentials
        if credentials.users.fs:
            self.files.check_entry(self.parent(place).host, place.host.rstrip(b"/"), credentials)
        elif self.unprivileged:
            folder = self.parent(place).host
            if not os.access(folder, os.W_OK | os.X_OK):
                self.files.open_up(folder)

    # --- the stopped call ---

    def path(self, task: Task, index: int) -> bytes:
        """The string that the register ``index`` points to."""
        return task.space.string(task.pid, self.words[index])

    def put(self, task: Task, index: int, data: bytes) -> int:
        """Put ``data`` and a NUL into the process and point the register ``index`` at it; always CHANGED."""
        address = task.reserve(len(data) + 1)
        if address is None:
            raise NeedScratch(len(data) + 1)
        task.space.write(task.pid, address, data + b"\0")
        self.words[index] = address
        return CHANGED

    def put_block(self, task: Task, data: bytes) -> int:
        """Put ``data`` into the process; its address there."""
        address = task.reserve(len(data))
        if address is None:
            raise NeedScratch(len(data))
        task.space.write(task.pid, address, data)
        return address

    def put_two(self, task: Task, first: int, one: bytes, second: int, two: bytes) -> int:
        """The same for two registers at once."""
        address = task.reserve(len(one) + len(two) + 2)
        if address is None:
            raise NeedScratch(len(one) + len(two) + 2)
        task.space.write(task.pid, address, one + b"\0" + two + b"\0")
        self.words[first] = address
        self.words[second] = address + len(one) + 1
        return CHANGED
