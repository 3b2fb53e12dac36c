"""The namespaces tiers as a shim sees them: launch and execute fork, hand over, and hear how it went."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.namespaces import capabilities, command, seccomp
from dockmagic.runtime.namespaces.cgroups import Group, wants_group
from dockmagic.runtime.namespaces.container import become_container
from dockmagic.runtime.namespaces.execute import become_exec, open_namespaces
from dockmagic.runtime.namespaces.ground import Ground
from dockmagic.runtime.pids import descendants, pids_of
from dockmagic.runtime.protocols import Capability, StartError
from dockmagic.runtime.spec import DEFAULT_CAPABILITIES, Spec


class Child:
    """The protocols' Launched: the container's first process (or an exec's), a child of this shim."""

    def __init__(self, name: str, pid: int, console: int, group: Group | None = None, *, whole_tree: bool) -> None:
        self._name = name
        self.pid = pid
        self.console = console
        """The near side of its terminal, or -1."""
        self.oom_killed = False
        self._group = group
        self._whole_tree = whole_tree
        self._code: int | None = None

    def wait(self) -> int:
        if self._code is None:
            _pid, status = os.waitpid(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self._code = 128 - code if code < 0 else code
            if self._whole_tree:
                self._end_descendants()
            if self._group is not None:
                self.oom_killed = self._group.oom_kills > 0
                self._group.remove()
        return self._code

    def signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """Stop all its processes: by the freezer, else one by one."""
        if self._group is None:
            self._group = Group(self._name)
        if not self._group.freeze(pids_of(self.pid)):
            self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        if self._group is None or not self._group.thaw():
            self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        for pid in pids_of(self.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _end_descendants(self) -> None:
        """Without a pid namespace what it left behind has become this shim's: end it, as a namespace would."""
        while len(left := descendants(os.getpid())) > 1:
            for pid in left:
                if pid != os.getpid():
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


class NamespaceTier:
    """Both namespaces tiers; :class:`Ground` is what tells them apart."""

    opens_console = True

    def __init__(self, name: str, ground: Ground) -> None:
        self.name = name
        self._ground = ground
        if seccomp.supported():  # once here, not in every child
            seccomp.default_profile(capabilities.mask_of(DEFAULT_CAPABILITIES))

    def probe(self) -> Capability:
        from dockmagic.runtime.probe import probe

        return next(capability for capability in probe() if capability.tier == self.name)

    def launch(self, spec: Spec, stdio: tuple[int, int, int]) -> Child:
        if spec.pid_mode.startswith("ns:"):
            fd = os.open(spec.pid_mode[3:], os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(fd, libc.CLONE_NEWPID)
            os.close(fd)
        elif spec.pid_mode == "host":
            libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        else:
            libc.unshare(libc.CLONE_NEWPID)
        group = None
        if wants_group(spec.limits):
            group = Group(spec.id)
            group.apply(spec.limits)

        def become(shim: socket.socket) -> NoReturn:
            if group is not None:
                group.join()
            become_container(spec, self._ground, stdio, shim)

        try:
            pid, console = _fork(become)
        except StartError:
            if group is not None:
                group.remove()
            raise
        return Child(spec.id, pid, console, group, whole_tree=spec.pid_mode != "private")

    def execute(self, target: int, spec: Spec, stdio: tuple[int, int, int]) -> Child:
        try:
            spaces = open_namespaces(target)
        except OSError as error:
            raise StartError("cannot exec in a stopped container", 128) from error
        if "pid" in spaces:
            libc.setns(spaces["pid"], libc.CLONE_NEWPID)
        pid, console = _fork(lambda shim: become_exec(spec, self._ground, target, spaces, stdio, shim))
        for fd in spaces.values():
            os.close(fd)
        return Child(spec.id, pid, console, whole_tree=False)


def _fork(become: Callable[[socket.socket], NoReturn]) -> tuple[int, int]:
    """Fork; in the child ``become`` never returns. Its pid and its terminal's near side (-1: none).

    The socket between the two closes at the exec, or brings what went wrong.
    """
    ours, theirs = messages.pair()
    with ours:
        pid = os.fork()
        if pid == 0:
            ours.close()
            _tell_failure(become, theirs)
        theirs.close()
        console, error = -1, None
        while (received := messages.receive(ours)) is not None:
            message, fds = received
            if fds:
                console = fds[0]
            if "error" in message:
                error = StartError(message["error"], message["code"])
    if error is not None:
        os.waitpid(pid, 0)
        if console >= 0:
            os.close(console)
        raise error
    return pid, console


def _tell_failure(become: Callable[[socket.socket], NoReturn], shim: socket.socket) -> NoReturn:
    try:
        try:
            become(shim)
        except StartError as error:
            messages.send(shim, {"error": str(error), "code": error.code})
        except OSError as error:
            text = f"{error.filename}: " if error.filename else ""
            text += command.words(error.errno or 0)
            messages.send(shim, {"error": text, "code": command.exit_code(text)})
        except BaseException as error:  # whatever it is, this forked process must not run on as a second shim
            messages.send(shim, {"error": f"{error!r} in {_place(error)}", "code": 128})
    finally:
        os._exit(1)


def _place(error: BaseException) -> str:
    """Where it was raised. (No imports here, as traceback's own: the root folder may be the container's.)"""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace is not None else "?"
