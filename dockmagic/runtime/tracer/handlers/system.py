"""The host's name, signals to processes, and calls that change what a process shares with others."""

from __future__ import annotations

import errno
import os
import signal

from dockmagic.runtime.tracer.guest import CHANGED, Guest, Handler
from dockmagic.runtime.tracer.kernel import CLONE_FS, signed32
from dockmagic.runtime.tracer.task import Task

_UTS_FIELD = 65  # __NEW_UTS_LEN + 1, linux/utsname.h
_NAMESPACES = 0x7E020080  # CLONE_NEW*, linux/sched.h


class System:
    """The handlers; a table of them is :meth:`table`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._words = guest.words

    def table(self) -> dict[str, Handler]:
        return {
            "uname": self._uname,
            "sethostname": self._set_name("hostname"),
            "setdomainname": self._set_name("domainname"),
            "kill": self._kill,
            "tkill": self._signal_thread(0),
            "tgkill": self._signal_thread(1),
            "unshare": self._unshare,
        }

    def _uname(self, task: Task) -> int | None:
        guest = self._guest
        real = os.uname()
        values = (
            real.sysname,
            guest.hostname or real.nodename,
            real.release,
            real.version,
            real.machine,
            guest.domainname or "(none)",
        )
        data = b"".join(value.encode()[: _UTS_FIELD - 1].ljust(_UTS_FIELD, b"\0") for value in values)
        task.space.write(task.pid, self._words[guest.args[0]], data)
        return 0

    def _set_name(self, what: str) -> Handler:
        guest, words = self._guest, self._words

        def handler(task: Task) -> int | None:
            size = words[guest.args[1]]
            if not task.credentials.privileged:
                return -errno.EPERM
            if size >= _UTS_FIELD:
                return -errno.EINVAL
            name = task.space.read(task.pid, words[guest.args[0]], size).split(b"\0")[0]
            setattr(guest, what, name.decode("utf-8", "surrogateescape"))
            return 0

        return handler

    # --- signals: the host's own processes are out of reach, as they would be in a container ---

    def _kill(self, task: Task) -> int | None:
        guest = self._guest
        target, number = signed32(self._words[guest.args[0]]), signed32(self._words[guest.args[1]])
        if target in (1, guest.first):
            if number in (signal.SIGKILL, signal.SIGSTOP):
                return 0  # as in a pid namespace, whose first process nobody inside can end
            target = guest.first
            self._words[guest.args[0]] = target
            return self._allowed(task, target) or CHANGED
        if target == 0 or target in guest.tasks:
            return self._allowed(task, target or task.pid)
        if target == -1:
            others = {t.group for t in guest.tasks.values()} - {task.group, guest.first}
            for pid in others:
                os.kill(pid, number)
            return 0 if others else -errno.ESRCH
        if target < -1 and any(_group_of(t.pid) == -target for t in guest.tasks.values()):
            return None
        return -errno.ESRCH

    def _signal_thread(self, argument: int) -> Handler:
        words, register = self._words, self._guest.args[argument]

        def handler(task: Task) -> int | None:
            target = signed32(words[register])
            if target == task.pid or target in self._guest.tasks:
                return None
            return -errno.ESRCH

        return handler

    def _allowed(self, task: Task, target: int) -> int | None:
        """An ordinary user may signal its own processes only."""
        credentials, other = task.credentials, self._guest.tasks[target].credentials
        if credentials.privileged or other.users.real in credentials.users[:2]:
            return None
        return None if other.users.saved in credentials.users[:2] else -errno.EPERM

    def _unshare(self, task: Task) -> int | None:
        flags = self._words[self._guest.args[0]]
        if flags & _NAMESPACES:
            return -errno.EPERM
        if flags & CLONE_FS:
            task.fs = task.fs.copy()
        return None


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def handlers(guest: Guest) -> dict[str, Handler]:
    return System(guest).table()
