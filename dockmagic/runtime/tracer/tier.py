"""The tier as a shim sees it: launch forks a supervisor, execute asks the container's."""

from __future__ import annotations

import os
import pickle
import select
import shutil
import signal
import socket

from dockmagic.runtime import messages
from dockmagic.runtime.protocols import Capability, StartError
from dockmagic.runtime.spec import Spec
from dockmagic.runtime.tracer import elf, supervisor
from dockmagic.runtime.tracer.ready import CONTROL, find, is_left

_STOPPED = "cannot exec in a stopped container"
_RETRY = 0.02
"""Seconds until the supervisor is told again that an exec waits (see supervisor.py)."""


class Traced:
    """The protocols' Launched: a traced process, told of by its supervisor over ``connection``."""

    def __init__(self, pid: int, connection: socket.socket, keeper: int = 0, state: str = "") -> None:
        self.pid = pid
        self.oom_killed = False
        self._connection = connection
        self._keeper = keeper
        self._state = state
        self._code: int | None = None

    def wait(self) -> int:
        while self._code is None:
            received = messages.receive(self._connection)
            if received is None:
                self._code = 128 + signal.SIGKILL  # the tracer was killed, and what it traced with it
            elif "exit" in received[0]:
                self._code = int(received[0]["exit"])
                self.oom_killed = bool(received[0]["oom"])
            elif "error" in received[0]:
                self._code = int(received[0]["code"])
        if self._keeper and os.waitpid(self._keeper, os.WNOHANG)[0]:
            self._keeper = 0  # else it still tidies up, and outlives the shim for that
        return self._code

    def signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """Stop the whole container, without its processes' noticing; not for an exec alone."""
        self._ask("pause")

    def resume(self) -> None:
        self._ask("resume")

    def _ask(self, operation: str) -> None:
        if self._code is None and self._state:
            with messages.connect(self._state, CONTROL) as connection:
                messages.send(connection, {"op": operation})
                _ring(connection, self._keeper)
                messages.receive(connection)


class TracerTier:
    """``folder`` is this engine's own, for what containers' tracers keep while they run, and copies of programs."""

    name = "tracer"
    opens_console = False

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._programs = os.path.join(folder, "programs")
        self._ready: tuple[int, socket.socket] | None = None
        os.makedirs(folder, mode=0o700, exist_ok=True)
        programs = os.fsencode(self._programs)
        os.makedirs(programs, mode=0o700, exist_ok=True)
        elf.prune(programs)
        self._sweep()
        supervisor.rehearse(self._programs)  # here, where many supervisors are forked from

    def probe(self) -> Capability:
        from dockmagic.runtime.tracer.probe import probe

        return probe(self._folder)

    def get_ready(self) -> None:
        """Fork a supervisor that waits for the next container, whoever knows of it first."""
        self._ready = self._fork()

    def _fork(self) -> tuple[int, socket.socket]:
        """(a supervisor's pid, our end of its socket)"""
        ours, theirs = messages.pair()
        keeper = os.fork()
        if keeper == 0:
            ours.close()
            supervisor.be_supervisor(self._folder, self._programs, _alone(theirs))
        theirs.close()
        return keeper, ours

    def launch(self, spec: Spec, stdio: tuple[int, int, int]) -> Traced:
        (keeper, ours), self._ready = self._ready or self._fork(), None
        work = os.memfd_create("dockmagic-start")
        try:
            os.write(work, pickle.dumps(spec, protocol=5))
            try:
                messages.send(ours, {}, (work, *stdio))
            except OSError:  # one that was forked ahead, and killed
                keeper, ours = self._fork()
                messages.send(ours, {}, (work, *stdio))
        finally:
            os.close(work)
        try:
            pid, state = _await_start(ours, "the tracer ended before the container started")
        except StartError:
            os.waitpid(keeper, 0)
            raise
        return Traced(pid, ours, keeper, state)

    def execute(self, target: int, spec: Spec, stdio: tuple[int, int, int]) -> Traced:
        if self._ready is not None:
            self._ready[1].close()  # the supervisor that waits for a container ends
            self._ready = None
        state, keeper = self._find(target)
        try:
            connection = messages.connect(state, CONTROL)
            work = os.memfd_create("dockmagic-exec")
            os.write(work, pickle.dumps(spec, protocol=5))
            messages.send(connection, {"op": "exec"}, (work, *stdio))
            os.close(work)
            _ring(connection, keeper)
        except OSError as error:
            raise StartError(_STOPPED, 128) from error
        return Traced(_await_start(connection, _STOPPED)[0], connection)

    def _sweep(self) -> None:
        """Remove what supervisors left that were killed."""
        for name in os.listdir(self._folder):
            if is_left(name):
                shutil.rmtree(os.path.join(self._folder, name), ignore_errors=True)

    def _find(self, target: int) -> tuple[str, int]:
        """(the state folder, the supervisor's pid) of the container whose first process is ``target``."""
        found = find(self._folder, target)
        if found is not None:
            return found[0], int(os.path.basename(found[0]).partition("-")[0])
        raise StartError(_STOPPED, 128)


def _ring(connection: socket.socket, keeper: int) -> None:
    """Tell the supervisor that someone waits, until there is an answer to read."""
    while True:
        os.kill(keeper, signal.SIGUSR1)
        if select.select([connection], [], [], _RETRY)[0]:
            return


def _await_start(connection: socket.socket, gone: str) -> tuple[int, str]:
    """(pid, state folder) once the program runs. Raises StartError with what its process said instead, or ``gone``."""
    received = messages.receive(connection)
    if received is None:
        raise StartError(gone, 128)
    message, _fds = received
    if "error" in message:
        raise StartError(str(message["error"]), int(message["code"]))
    return int(message["pid"]), str(message["state"])


def _alone(shim: socket.socket) -> socket.socket:
    """In the forked supervisor: keep nothing of the shim's but ``shim``."""
    kept = os.dup(shim.fileno())
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    kept = os.dup2(kept, 3, inheritable=False) if kept != 3 else kept
    os.closerange(4, 1 << 16)
    return socket.socket(fileno=kept)
