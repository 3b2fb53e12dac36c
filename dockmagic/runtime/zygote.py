"""The zygote: a small, single-threaded process that forks shims, so that the engine's size and threads don't matter.

A request is one packet: ``{"folder": …}`` with two descriptors, the shim's end of the engine's control connection and
a memfd with the pickled :class:`Work`. There is no answer: what goes wrong is told on the control connection.
The zygote ends when the engine's end of its socket closes; its shims live on.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.protocols import Tier
from dockmagic.runtime.spec import Spec


@dataclass(frozen=True)
class Work:
    """What a shim is for: ``target`` is a running container's first process for an exec, else 0."""

    spec: Spec
    folder: str
    target: int = 0


def start_zygote(tier: Tier, registry: str) -> socket.socket:
    """Fork the zygote; the engine's end of its socket. Each shim is noted in the folder ``registry`` while it lives."""
    ours, theirs = messages.pair()
    if os.fork() == 0:
        try:
            ours.close()
            _serve(tier, registry, theirs)
        finally:
            os._exit(0)
    theirs.close()
    return ours


def _serve(tier: Tier, registry: str, requests: socket.socket) -> None:
    libc.set_name("dockmagic-zygote")
    os.setsid()  # a terminal's interrupt is for the engine, not for containers
    os.chdir("/")
    os.umask(0o022)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps shims
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    _close_all_but({0, 1, 2, requests.fileno()})
    _preload()
    gc.collect()
    gc.freeze()  # so that a shim's collections don't copy the pages they share
    while (received := messages.receive(requests)) is not None:
        _message, fds = received
        control, work = fds
        try:
            child = os.fork()
        except OSError as error:
            child = -1
            messages.send(socket.socket(fileno=os.dup(control)), {"error": f"fork: {error.strerror}", "code": 128})
        if child == 0:
            requests.close()
            _be_shim(tier, registry, control, work)
        for fd in fds:
            os.close(fd)


def _preload() -> None:
    """What shims and the namespaces tiers need, imported once."""

    import dockmagic.inroot
    import dockmagic.runtime.namespaces.container
    import dockmagic.runtime.namespaces.execute
    import dockmagic.runtime.shim  # noqa: F401


def _be_shim(tier: Tier, registry: str, control: int, work_fd: int) -> NoReturn:
    from dockmagic.runtime.shim import Shim

    libc.set_name("dockmagic-shim")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    folder = note = ""
    try:
        with open(work_fd, "rb") as file:
            work: Work = pickle.load(file)
        folder = work.folder
        note = os.path.join(registry, str(os.getpid()))
        _leave_note(note)
        Shim(tier, work.spec, folder, socket.socket(fileno=control), work.target).run()
    except BaseException:
        _leave_trace(folder)
    finally:
        if note:
            os.unlink(note)
        os._exit(0)


def _started_at(pid: int) -> str:
    """When a process started, in clock ticks since boot: with its pid, its identity. Raises OSError when it is gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19].decode()


def _leave_note(path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(_started_at(os.getpid()))


def shim_of_note(note: Path) -> int:
    """The pid of the living shim that a file of the registry speaks of, or 0."""
    try:
        pid = int(note.name)
        return pid if note.read_text(encoding="ascii") == _started_at(pid) else 0
    except (OSError, ValueError):
        return 0


def _leave_trace(folder: str) -> None:
    """A shim has nowhere to print: its failure goes to shim.log in its folder."""
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
