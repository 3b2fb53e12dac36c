"""execve: scripts, dynamic and static programs, set-id bits; and what is put right once the new program is in place."""

from __future__ import annotations

import errno
import os
import stat
import struct

from dockmagic.runtime.tracer.elf import Program, Programs
from dockmagic.runtime.tracer.guest import CHANGED, Guest, Handler, NeedScratch
from dockmagic.runtime.tracer.identity import Credentials, may
from dockmagic.runtime.tracer.kernel import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, fail, signed32
from dockmagic.runtime.tracer.memory import AddressSpace
from dockmagic.runtime.tracer.namespace import Place
from dockmagic.runtime.tracer.task import Task

_MAX_INTERPRETERS = 5  # BINPRM recursion limit, fs/exec.c
_ARGUMENT_LIMIT = 131072  # MAX_ARG_STRLEN
_AT_NULL, _AT_EXECFN = 0, 31  # linux/auxvec.h
_STACK_READS = (8192, 1 << 20)
"""Bytes of a new program's stack to look for the auxiliary vector in: mostly it is near, but arguments may be many."""
_WORD = struct.Struct("=Q")


class Execute:
    """The handlers; a table of them is :meth:`table`."""

    def __init__(self, guest: Guest, programs: Programs) -> None:
        self._guest = guest
        self._programs = programs
        self._words = guest.words

    def table(self) -> dict[str, Handler]:
        path, argv = self._guest.args[:2]
        return {"execve": lambda task: self._exec(task, AT_FDCWD, path, argv, 0), "execveat": self._execveat}

    def _execveat(self, task: Task) -> int | None:
        folder, path, argv, _env, flags = self._guest.args[:5]
        words = self._words
        result = self._exec(task, signed32(words[folder]), path, argv, words[flags])
        if result is CHANGED:
            words[folder] = AT_FDCWD & ((1 << 64) - 1)
            words[flags] = 0
        return result

    def _exec(self, task: Task, fd: int, path_register: int, argv_register: int, flags: int) -> int:
        guest = self._guest
        name = guest.path(task, path_register)
        if not name and flags & AT_EMPTY_PATH:
            name = b"/proc/self/fd/%d" % fd
        place = guest.resolve(task, fd, name, not flags & AT_SYMLINK_NOFOLLOW)
        front: list[bytes] = []
        credentials = task.credentials
        script = name
        for _ in range(_MAX_INTERPRETERS):
            host = place.host
            real = self._check(host, credentials)
            program = self._programs.examine(host, real)
            if program.kind != "script":
                break
            argument = [] if program.argument is None else [program.argument]
            front = [program.interpreter, *argument, script, *front[1:]]
            script = program.interpreter
            place = guest.resolve(task, AT_FDCWD, script, True)
        else:
            raise fail(errno.ELOOP)
        if program.kind in ("foreign", "unknown"):
            raise fail(errno.ENOEXEC)
        run = self._runnable(task, place, real, program, name if not front else front[0])
        task.next_exe = (self._exe(place), program.interpreter, name, self._new_credentials(task, host, real))
        if not front:
            return guest.put(task, path_register, run)
        return self._put_arguments(task, path_register, argv_register, run, front)

    def _exe(self, place: Place) -> bytes:
        """What /proc/PID/exe shows."""
        if place.guest.startswith(b"/proc/"):
            target = os.readlink(place.host)
            return self._guest.namespace.guest(target) or target
        return place.guest

    def _check(self, host: bytes, credentials: Credentials) -> os.stat_result:
        """Raises OSError unless ``host`` is a file this user may execute."""
        real = os.stat(host)
        if not stat.S_ISREG(real.st_mode):
            raise fail(errno.EACCES)
        if not real.st_mode & 0o111:
            raise fail(errno.EACCES)
        if credentials.users.fs:
            seen = self._guest.files.seen(host, True)
            if not may(credentials, seen.uid, seen.gid, seen.mode, 1):
                raise fail(errno.EACCES)
        return real

    def _new_credentials(self, task: Task, host: bytes, real: os.stat_result) -> Credentials:
        """Who the program will be: set-id bits count, and the saved ids follow."""
        users, groups = task.credentials.users, task.credentials.groups
        record = self._guest.files.record(host, True)
        seen = self._guest.files.seen(host, True) if record is not None or real.st_mode & 0o6000 else None
        if seen is not None and seen.mode & stat.S_ISUID:
            users = users._replace(effective=seen.uid)
        if seen is not None and seen.mode & stat.S_ISGID and seen.mode & stat.S_IXGRP:
            groups = groups._replace(effective=seen.gid)
        users = users._replace(saved=users.effective, fs=users.effective)
        groups = groups._replace(saved=groups.effective, fs=groups.effective)
        return task.credentials._replace(users=users, groups=groups, keeps=False, kept=False)

    def _runnable(self, task: Task, place: Place, real: os.stat_result, program: Program, called: bytes) -> bytes:
        """The path for the kernel: with the basename the program was called by, which becomes its name in ps."""
        guest = self._guest
        name = called.rstrip(b"/").rpartition(b"/")[2] or b"exe"
        if program.kind == "dynamic":
            loader = guest.resolve(task, AT_FDCWD, program.interpreter, True)
            if not os.path.exists(loader.host):
                raise fail(errno.ENOENT)
            return self._programs.runnable(place.host, real, program, loader.host, name)
        if name == place.host.rpartition(b"/")[2] or place.guest.startswith(b"/proc/"):
            return place.host
        return self._programs.alias(place.host, name)

    def _put_arguments(self, task: Task, path: int, argv: int, run: bytes, front: list[bytes]) -> int:
        """A new argument vector: ``front`` in the place of the old first argument, then the old rest."""
        words, space, pid = self._words, task.space, task.pid
        rest = self._pointers(task, words[argv])[1:]
        strings = b"".join(item + b"\0" for item in front) + run + b"\0"
        size = 8 * (len(front) + len(rest) + 1) + len(strings)
        address = task.reserve(size)
        if address is None:
            raise NeedScratch(size)
        at = address + 8 * (len(front) + len(rest) + 1)
        pointers = []
        for item in front:
            pointers.append(at)
            at += len(item) + 1
        space.write(pid, address, struct.pack(f"={len(pointers) + len(rest) + 1}Q", *pointers, *rest, 0) + strings)
        words[path] = at
        words[argv] = address
        return CHANGED

    def _pointers(self, task: Task, address: int) -> list[int]:
        """The pointers of an argument vector, without its NULL."""
        found: list[int] = []
        while address:
            data = task.space.read(task.pid, address, 4096 - (address & 4095) or 4096)
            if len(data) < 8:
                raise fail(errno.EFAULT)
            for (pointer,) in _WORD.iter_unpack(data[: len(data) & ~7]):
                if not pointer:
                    return found
                found.append(pointer)
                address += 8
        return found

    # --- after the exec ---

    def done(self, task: Task) -> None:
        """The new program is in place: who it is, and the name in its auxiliary vector instead of our copy's path."""
        if task.next_exe is None:
            return
        task.exe, task.loader, name, task.credentials = task.next_exe
        task.next_exe = None
        guest = self._guest
        guest.registers.load(task.pid)
        stack = self._words[guest.arch.stack]
        space, pid = task.space, task.pid
        for size in _STACK_READS:
            data = space.read(pid, stack, size)
            at = self._auxiliary(data)
            if at >= 0 and _name_program(space, pid, data, at, name):
                return

    def _auxiliary(self, data: bytes) -> int:
        """Where in a new program's stack the auxiliary vector starts, or -1 when it is not in ``data``."""
        (count,) = _WORD.unpack_from(data, 0)
        at = data.find(bytes(8), 8 * (count + 2))  # argc, its pointers, NULL, the environment's
        while at >= 0 and at % 8:
            at = data.find(bytes(8), at + 1)
        return at + 8 if at >= 0 else -1


def _name_program(space: AddressSpace, pid: int, data: bytes, at: int, name: bytes) -> bool:
    """Put ``name`` where the auxiliary vector at ``at`` has AT_EXECFN; False when ``data`` ends before that."""
    while at <= len(data) - 16:
        kind, value = struct.unpack_from("=QQ", data, at)
        if kind == _AT_EXECFN and len(name) <= len(space.string(pid, value)):
            space.write(pid, value, name + b"\0")
        if kind in (_AT_EXECFN, _AT_NULL):
            return True
        at += 16
    return False
