"""The tier as a shim sees it: launch forks a supervisor, execute asks the container's."""

from __future__ import annotations

import os
import pickle
import select
import shutil
import signal
import socket
import tempfile

from dockmagic.runtime import messages
from dockmagic.runtime.protocols import Capability, StartError
from dockmagic.runtime.spec import Spec
from dockmagic.runtime.tracer import elf, supervisor
from dockmagic.runtime.tracer.arch import current

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
            with messages.connect(self._state, supervisor.CONTROL) as connection:
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
        os.makedirs(folder, mode=0o700, exist_ok=True)
        programs = os.fsencode(self._programs)
        os.makedirs(programs, mode=0o700, exist_ok=True)
        elf.prune(programs)
        self._sweep()
        current()  # imports this machine's tables here, where many supervisors are forked from

    def probe(self) -> Capability:
        from dockmagic.runtime.tracer.probe import probe

        return probe(self._folder)

    def launch(self, spec: Spec, stdio: tuple[int, int, int]) -> Traced:
        ours, theirs = messages.pair()
        state = tempfile.mkdtemp(prefix=spec.id[:12].replace("/", "-") + "-", dir=self._folder)
        keeper = os.fork()
        if keeper == 0:
            ours.close()
            kept = os.dup(theirs.fileno())
            shim = _alone(stdio, kept)
            supervisor.be_supervisor(spec, state, self._programs, shim)
        theirs.close()
        try:
            pid = _await_start(ours)
        except StartError:
            os.waitpid(keeper, 0)
            raise
        return Traced(pid, ours, keeper, state)

    def execute(self, target: int, spec: Spec, stdio: tuple[int, int, int]) -> Traced:
        state, keeper = self._find(target)
        try:
            connection = messages.connect(state, supervisor.CONTROL)
            work = os.memfd_create("dockmagic-exec")
            os.write(work, pickle.dumps(spec, protocol=5))
            messages.send(connection, {"op": "exec"}, (work, *stdio))
            os.close(work)
            _ring(connection, keeper)
        except OSError as error:
            raise StartError(_STOPPED, 128) from error
        return Traced(_await_start(connection, _STOPPED), connection)

    def _sweep(self) -> None:
        """Remove what supervisors left that were killed."""
        for name in os.listdir(self._folder):
            state = os.path.join(self._folder, name)
            try:
                with open(os.path.join(state, supervisor.FIRST), "rb") as file:
                    keeper = int(file.read().split()[1])
            except (OSError, ValueError, IndexError):
                continue  # not a container's, or one that is just starting
            if not os.path.exists(f"/proc/{keeper}"):
                shutil.rmtree(state, ignore_errors=True)

    def _find(self, target: int) -> tuple[str, int]:
        """(the state folder, the supervisor's pid) of the container whose first process is ``target``."""
        for name in os.listdir(self._folder):
            state = os.path.join(self._folder, name)
            try:
                with open(os.path.join(state, supervisor.FIRST), "rb") as file:
                    first, keeper = (int(word) for word in file.read().split())
            except (OSError, ValueError):
                continue
            if first == target:
                return state, keeper
        raise StartError(_STOPPED, 128)


def _ring(connection: socket.socket, keeper: int) -> None:
    """Tell the supervisor that someone waits, until there is an answer to read."""
    while True:
        os.kill(keeper, signal.SIGUSR1)
        if select.select([connection], [], [], _RETRY)[0]:
            return


def _await_start(connection: socket.socket, gone: str = "the tracer ended before the container started") -> int:
    """The pid, once the program runs. Raises StartError with what its process said instead, or with ``gone``."""
    received = messages.receive(connection)
    if received is None:
        raise StartError(gone, 128)
    message, _fds = received
    if "error" in message:
        raise StartError(str(message["error"]), int(message["code"]))
    return int(message["pid"])


def _alone(stdio: tuple[int, int, int], shim: int) -> socket.socket:
    """In the forked supervisor: keep nothing of the shim's but the streams and ``shim``."""
    copies = [os.dup(fd) for fd in stdio]
    for number, fd in enumerate(copies):
        os.dup2(fd, number)
    kept = os.dup2(shim, 3, inheritable=False) if shim != 3 else shim
    os.closerange(4, 1 << 16)
    return socket.socket(fileno=kept)
