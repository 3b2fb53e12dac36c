"""The event loop: waits for stops, treats them, lets the process go on. One thread, since ptrace is bound to it."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import time
import traceback
from collections.abc import Callable

from dockmagic.runtime.tracer import kernel
from dockmagic.runtime.tracer.guest import CHANGED, Guest, Handler, NeedScratch
from dockmagic.runtime.tracer.handlers.execute import Execute
from dockmagic.runtime.tracer.identity import Credentials
from dockmagic.runtime.tracer.kernel import (
    CLONE_FS,
    CLONE_THREAD,
    CLONE_VM,
    PTRACE_CONT,
    PTRACE_EVENT_CLONE,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENT_FORK,
    PTRACE_EVENT_STOP,
    PTRACE_EVENT_VFORK,
    PTRACE_GETEVENTMSG,
    PTRACE_LISTEN,
    PTRACE_SYSCALL,
    WALL,
    ptrace,
)
from dockmagic.runtime.tracer.memory import PAGE, SLOT, AddressSpace
from dockmagic.runtime.tracer.task import FsState, Task

# wait statuses: the signal in bits 8 to 15 over 0x7f, the ptrace event above
_SECCOMP_STOP = kernel.PTRACE_EVENT_SECCOMP << 16 | signal.SIGTRAP << 8 | 0x7F
_CALL_STOP = (signal.SIGTRAP | 0x80) << 8 | 0x7F
_STOPPED = 0x7F
_GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_FAULTS = (
    signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS,
    signal.SIGABRT,
)  # fmt: skip
_BIRTHS = (PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_CLONE)
_MASK = (1 << 64) - 1
_REMEMBERED = 1.0
"""Seconds that what was found out of paths may be believed: the engine changes files of running containers (docker cp),
and a link it replaces there must be seen."""
_ANSWERED = (
    "stat", "lstat", "newfstatat", "fstat", "statx", "readlink", "readlinkat", "access", "faccessat", "faccessat2",
    "getcwd", "uname",
)  # fmt: skip
"""Calls that the tracer answers itself, so that nothing has to be put into the process for them."""
# asm-generic/mman.h
_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS = 0x22


class Loop:
    """Traces the tasks of one container until none is left."""

    def __init__(
        self, guest: Guest, handlers: dict[str, Handler], execute: Execute, log: str, *, first_is_init: bool
    ) -> None:
        """``log`` is the path of a file for what should not happen; ``first_is_init``: see :meth:`_spared`."""
        self._log_path = log
        self._guest = guest
        self._tasks = guest.tasks
        self._execute = execute
        self._registers = guest.registers
        self._words = guest.words
        numbers = guest.arch.numbers
        self._table = {numbers[name]: handler for name, handler in handlers.items() if name in numbers}
        self._answered = {numbers[name] for name in _ANSWERED if name in numbers}
        self._clone = numbers["clone"]
        self._vfork = numbers.get("vfork", -1)
        self._mmap = numbers["mmap"]
        self._message = ctypes.c_ulong()
        self._message_pointer = ctypes.pointer(self._message)
        self._first_is_init = first_is_init
        self.ending = False
        """The first process has ended: whatever still comes up is killed."""
        self.started: dict[int, Callable[[], object]] = {}
        """What to do when these processes have become the program they are to run."""
        self.ended: dict[int, Callable[[int], None]] = {}
        """What to do with the wait status of these processes when they end."""

    def adopt(self, pid: int, credentials: Credentials, umask: int = 0o022) -> Task:
        """Know a process that is traced already and waits to be let go."""
        fs = FsState()
        fs.umask = umask
        task = self._tasks[pid] = Task(pid, pid, fs, AddressSpace(), credentials)
        return task

    def run(self) -> None:
        """Returns when no traced process is left."""
        waitpid, tasks, table = os.waitpid, self._tasks, self._table
        words, load, skip = self._words, self._registers.load, self._registers.skip
        store, number = self._registers.store, self._registers.number_index
        answered, monotonic, forget_at = self._answered, time.monotonic, 0.0
        while True:
            try:
                pid, status = waitpid(-1, WALL)
            except ChildProcessError:
                return
            if status != _SECCOMP_STOP:
                self._other(pid, status)
                continue
            if monotonic() > forget_at:
                self._guest.resolver.flush()
                self._guest.files.forget()
                forget_at = monotonic() + _REMEMBERED
            task = tasks[pid]
            load(pid)
            if task.scratch is None and task.reserve(0) is None and words[number] not in answered:
                self._make_scratch(task, SLOT)
                continue
            try:
                result = table[words[number]](task)
            except OSError as error:
                result = -(error.errno or errno.EFAULT)
            except (ValueError, struct.error, LookupError) as error:
                self._log(words[number], error)  # an odd call must not end the whole container
                result = -errno.EFAULT
            except NeedScratch as need:
                load(pid)
                self._make_scratch(task, need.size)
                continue
            if result is not None:
                if result is CHANGED:
                    store(pid)
                else:
                    skip(pid, result)
            ptrace(PTRACE_SYSCALL if task.after is not None else PTRACE_CONT, pid, 0, 0)

    # --- everything but the entry of a call ---

    def _other(self, pid: int, status: int) -> None:
        if status & 0x7F != _STOPPED:
            self._gone(pid, status)
            return
        number, event = status >> 8 & 0xFF, status >> 16
        task = self._tasks.get(pid)
        if self.ending:
            self._kill(pid)
        if status == _CALL_STOP:
            if task is not None and task.after is not None:
                after, task.after = task.after, None
                self._registers.load(pid)
                after(task)
            self._go_on(pid, task)
        elif event in _BIRTHS:
            self._born(pid, event)
            self._go_on(pid, task)
        elif event == PTRACE_EVENT_EXEC:
            self._executed(pid)
            self._go_on(pid, self._tasks.get(pid))
        elif event == PTRACE_EVENT_STOP:
            if task is not None:
                task.stopped = number in _GROUP_STOPS
            if number in _GROUP_STOPS:
                ptrace(PTRACE_LISTEN, pid, 0, 0)
            elif task is None:
                self._hold(pid)
            elif not task.held:
                self._go_on(pid, task)
        elif event == 0 and not self._spared(task, number):
            self._go_on(pid, task, number)
        else:
            self._go_on(pid, task)

    def _spared(self, task: Task | None, number: int) -> bool:
        """The kernel spares a pid namespace's first process signals that it doesn't handle; so docker stop waits."""
        if task is None or task.group != self._guest.first or not self._first_is_init or number in _FAULTS:
            return False
        return not _handles(task.pid, number)

    def _go_on(self, pid: int, task: Task | None, number: int = 0) -> None:
        request = PTRACE_SYSCALL if task is not None and task.after is not None else PTRACE_CONT
        ptrace(request, pid, 0, number)

    def kill_all(self) -> None:
        self.ending = True
        for pid in list(self._tasks):
            self._kill(pid)

    def _kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended, or is a thread of one killed before

    def _event_message(self, pid: int) -> int:
        ptrace(PTRACE_GETEVENTMSG, pid, 0, self._message_pointer)
        return self._message.value

    def _hold(self, pid: int) -> None:
        """A child stopped before its parent's event told of it."""
        task = self._tasks[pid] = Task(pid, pid, FsState(), AddressSpace(), Credentials.of(0, 0))
        task.held = True

    def _born(self, pid: int, event: int) -> None:
        child = self._event_message(pid)
        parent = self._tasks[pid]
        self._registers.load(pid)
        number = self._words[self._registers.number_index]
        if number == self._clone:
            flags = self._words[self._guest.args[0]]
        elif number == self._vfork or event == PTRACE_EVENT_VFORK:
            flags = CLONE_VM
        else:
            flags = 0
        self._inherit(parent, child, flags)

    def _inherit(self, parent: Task, child: int, flags: int) -> None:
        held = self._tasks.get(child)
        fs = parent.fs if flags & CLONE_FS else parent.fs.copy()
        if flags & CLONE_VM:
            space = parent.space
            space.users += 1
        else:
            space = parent.space.copy()
            space.free += [t.scratch for t in self._tasks.values() if t.space is parent.space and t.scratch]
        group = parent.group if flags & CLONE_THREAD else child
        task = Task(child, group, fs, space, parent.credentials)
        task.exe, task.loader = parent.exe, parent.loader
        self._tasks[child] = task
        if held is not None:
            ptrace(PTRACE_CONT, child, 0, 0)

    def _executed(self, pid: int) -> None:
        former = self._event_message(pid)
        task = self._tasks[pid]
        if former != pid and former in self._tasks:
            # a thread that wasn't the first one ran the exec and has become it
            other = self._tasks.pop(former)
            self._leave_space(task)
            task.space, task.scratch = other.space, other.scratch
            task.next_exe, task.credentials, task.fs, task.after = other.next_exe, other.credentials, other.fs, None
        self._leave_space(task)
        task.space, task.scratch = AddressSpace(), None
        self._execute.done(task)
        started = self.started.pop(pid, None)
        if started is not None:
            started()

    def _leave_space(self, task: Task) -> None:
        task.release_scratch()
        task.space.users -= 1
        if task.space.users == 0:
            task.space.close()

    def _gone(self, pid: int, status: int) -> None:
        task = self._tasks.pop(pid, None)
        if task is not None:
            self._leave_space(task)
            self._release_held(task)
        ended = self.ended.pop(pid, None)
        if ended is not None:
            ended(status)

    def _release_held(self, dead: Task) -> None:
        """Children whose parent died before its event told of them go on with what it had."""
        for task in [t for t in self._tasks.values() if t.held]:
            parent, group = _family(task.pid)
            if group == dead.group != task.pid:
                self._inherit(dead, task.pid, CLONE_VM | CLONE_FS | CLONE_THREAD)
            elif parent == dead.group or parent not in self._tasks:
                self._inherit(dead, task.pid, 0)

    def _log(self, number: int, error: BaseException) -> None:
        with open(self._log_path, "a", encoding="utf-8") as file:
            file.write(f"call {number}:\n")
            traceback.print_exception(type(error), error, error.__traceback__, file=file)

    # --- scratch memory ---

    def _make_scratch(self, task: Task, size: int) -> None:
        """Let the process map memory for us, then make its call again."""
        size = max(SLOT, (size + 2 * PAGE - 1) & ~(PAGE - 1))
        registers, words = self._registers, self._words
        saved = registers.snapshot()
        number = words[registers.number_index]
        for register, value in zip(
            self._guest.args, (0, size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, _MASK, 0), strict=True
        ):
            words[register] = value
        registers.set_number(task.pid, self._mmap)
        registers.store(task.pid)

        def mapped(task: Task) -> None:
            address = words[registers.result_index]
            registers.restore(saved)
            if address > _MASK - PAGE:
                words[registers.result_index] = -errno.ENOMEM & _MASK
            else:
                task.release_scratch()
                task.scratch, task.used = (address, size), 0
                registers.again(number)
            registers.store(task.pid)

        task.after = mapped
        ptrace(PTRACE_SYSCALL, task.pid, 0, 0)


def _handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            caught = next(line for line in file if line.startswith(b"SigCgt:"))
    except (OSError, StopIteration):
        return True  # it is going
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _family(pid: int) -> tuple[int, int]:
    """(parent, thread group) of a process, 0 where it is gone."""
    values = {"PPid": 0, "Tgid": 0}
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key in values:
                    values[key] = int(value)
    except OSError:
        pass  # it ended meanwhile
    return values["PPid"], values["Tgid"]
