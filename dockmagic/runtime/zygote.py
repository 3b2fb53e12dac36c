"""The zygote: a small, single-threaded process that forks shims, so that the engine's size and threads don't matter.

It is a fresh interpreter that imports little: a fork costs by the memory and the libraries a process has mapped (0.9 ms
with 13 MB, 2.2 ms with the 18 MB of an engine that has just begun). One shim is always forked ahead and waits for work.

A request is one packet with two descriptors: the shim's end of the engine's control connection and a memfd with the
pickled :class:`Work`. There is no answer: what goes wrong is told on the control connection. The zygote ends when the
engine's end of its socket closes; its shims live on.
"""

from __future__ import annotations

import errno
import gc
import os
import pickle
import select
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.namespaces.ground import Ground
from dockmagic.runtime.pids import started_at
from dockmagic.runtime.protocols import Tier
from dockmagic.runtime.spec import Spec

_CALM = 0.05
"""Seconds without a request after which a shim is forked ahead: not while the last one needs the processors."""
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from dockmagic.runtime.zygote import main;"
    " main(int(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass(frozen=True)
class Setup:
    """What the zygote is told at its start. ``registry``: a folder where each shim leaves a note while it lives."""

    tier: str
    registry: str
    ground: Ground | None = None
    """Of the namespaces tiers."""
    folder: str = ""
    """Of the tracer tier: where it keeps its files."""


@dataclass(frozen=True)
class Work:
    """What a shim is for: ``target`` is a running container's first process for an exec, else 0.

    A shim forked ahead can't be used (the request says ``fresh``) where the process is to be in the engine's own pid
    namespace: it has left that for its children, and in a user namespace there is no way back. Nor for a relay, which
    has no use for the child that waits.
    """

    spec: Spec
    folder: str
    target: int = 0


@dataclass(frozen=True)
class RelayWork:
    """A relay instead of a shim (networks/relay.py): its folder, and a network namespace's file to enter ("": none)."""

    folder: str
    network: str = ""


def start_zygote(setup: Setup) -> socket.socket:
    """Start the zygote; the engine's end of its socket. It boots while the engine goes on."""
    import dockmagic

    ours, theirs = messages.pair()
    told = os.memfd_create("dockmagic-setup", 0)
    os.write(told, pickle.dumps(setup, protocol=5))
    os.lseek(told, 0, os.SEEK_SET)
    place = str(Path(dockmagic.__file__).parent.parent)
    theirs.set_inheritable(True)
    arguments = [sys.executable, "-I", "-S", "-c", _BOOT, place, str(theirs.fileno()), str(told)]
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        try:
            os.posix_spawn(sys.executable, arguments, os.environ, file_actions=null)
        except PermissionError:  # its path may be closed to this user, who has the program itself open
            os.posix_spawn("/proc/self/exe", arguments, os.environ, file_actions=null)
    finally:
        theirs.close()
        os.close(told)
    return ours


def main(requests_fd: int, setup_fd: int) -> NoReturn:
    """The zygote's whole life."""
    with open(setup_fd, "rb") as file:
        setup: Setup = pickle.load(file)
    requests = socket.socket(fileno=requests_fd)
    requests.set_inheritable(False)
    libc.set_name("dockmagic-zygote")
    os.setsid()  # a terminal's interrupt is for the engine, not for containers
    os.chdir("/")
    os.umask(0o022)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps shims
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _close_all_but({0, 1, 2, requests_fd})
    tier = _make_tier(setup)
    gc.collect()
    gc.freeze()  # so that a shim's collections don't copy the pages they share
    _Zygote(tier, setup.registry, requests).serve()
    os._exit(0)


def _make_tier(setup: Setup) -> Tier:
    """Imports once what every shim needs."""

    import dockmagic.runtime.shim  # noqa: F401

    if setup.ground is None:
        from dockmagic.runtime.tracer.tier import TracerTier

        return TracerTier(setup.folder)
    from dockmagic.runtime.namespaces.tier import NamespaceTier

    return NamespaceTier(setup.tier, setup.ground)


class _Zygote:
    def __init__(self, tier: Tier, registry: str, requests: socket.socket) -> None:
        self._tier = tier
        self._registry = registry
        self._requests = requests
        self._spare: socket.socket | None = None

    def serve(self) -> None:
        calm = select.poll()
        calm.register(self._requests, select.POLLIN)
        while True:
            if self._spare is None and not calm.poll(_CALM * 1000):
                self._spare = self._fork(ahead=True)
            received = messages.receive(self._requests)
            if received is None:
                return
            message, fds = received
            self._hand_over(fds, fresh=bool(message.get("fresh")))
            for fd in fds:
                os.close(fd)

    def _hand_over(self, fds: list[int], *, fresh: bool) -> None:
        for _attempt in range(2):  # a spare that was killed is replaced once
            if fresh:
                spare = self._fork(ahead=False)
            else:
                spare, self._spare = self._spare or self._fork(ahead=False), None
            if spare is None:
                break
            with spare:
                try:
                    messages.send(spare, {}, (fds[0], fds[1]))
                    return
                except OSError:
                    continue
        reason = os.strerror(errno.EAGAIN)
        with socket.socket(fileno=os.dup(fds[0])) as control:
            messages.send(control, {"error": f"fork: {reason}", "code": 128})

    def _fork(self, *, ahead: bool) -> socket.socket | None:
        """A shim that waits for its work on the other end; None when there can be no more processes."""
        ours, theirs = messages.pair()
        try:
            child = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return None
        if child == 0:
            ours.close()
            self._requests.close()
            self._be_shim(theirs, ahead)
        theirs.close()
        return ours

    def _be_shim(self, source: socket.socket, ahead: bool) -> NoReturn:
        note = os.path.join(self._registry, str(os.getpid()))
        folder = ""
        try:
            from dockmagic.runtime.shim import Shim

            libc.set_name("dockmagic-shim")
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            _leave_note(note)
            _warm_up()
            get_ready = getattr(self._tier, "get_ready", None)
            if get_ready is not None and ahead:
                get_ready()
            received = messages.receive(source)
            source.close()
            if received is not None:
                control, work_fd = received[1]
                with open(work_fd, "rb") as file:
                    work: Work | RelayWork = pickle.load(file)
                folder = work.folder
                channel = socket.socket(fileno=control)
                if isinstance(work, RelayWork):
                    from dockmagic.runtime.networks.relay import Relay

                    Relay(folder, work.network, channel).run()
                else:
                    Shim(self._tier, work.spec, folder, channel, work.target).run()
        except BaseException:  # whatever it is, it must be told, and this process must end here
            _leave_trace(folder)
        finally:
            _remove(note)
            os._exit(0)


def _warm_up() -> None:
    """Touch what every shim touches: pages shared with the zygote are copied now, not when someone waits (0.5 ms)."""
    pickle.loads(pickle.dumps(Work(Spec("", "", ()), "")))
    near, far = messages.pair()
    with near, far:
        messages.send(near, {"op": "start"}, (0,))
        _message, fds = messages.receive(far) or ({}, [])
        for fd in fds:
            os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _leave_note(path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(started_at(os.getpid()))


def shim_of_note(note: Path) -> int:
    """The pid of the living shim that a file of the registry speaks of, or 0."""
    try:
        pid = int(note.name)
        return pid if note.read_text(encoding="ascii") == started_at(pid) else 0
    except (OSError, ValueError):
        return 0


def _leave_trace(folder: str) -> None:
    """A shim has nowhere to print: its failure goes to shim.log in its folder."""
    import traceback

    if folder:
        try:
            with open(os.path.join(folder, "shim.log"), "a", encoding="utf-8") as file:
                traceback.print_exc(file=file)
        except OSError:
            pass


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself
