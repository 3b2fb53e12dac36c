"""What can be done for a container before anybody has asked for it, so that starting one doesn't wait for it.

A shim that is forked ahead lets its supervisor do so as well: it makes its folder with the devices, opens its control
socket and forks the process that will become the container's first.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import shutil
import signal
import socket
from dataclasses import dataclass

from dockmagic.runtime import messages
from dockmagic.runtime.pids import started_at
from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Spec
from dockmagic.runtime.tracer import kernel
from dockmagic.runtime.tracer.layout import make_devices
from dockmagic.runtime.tracer.memory import SLOT
from dockmagic.runtime.tracer.start import become_guest

CONTROL = "control"
_FIRST = "first"
"""In the state folder: the first process's pid and the network it uses."""


@dataclass(frozen=True)
class Seed:
    """A process that is traced already and waits to be told what to become."""

    pid: int
    channel: socket.socket
    scratch: tuple[int, int]
    """Address and size of memory in it that is the tracer's."""

    def grow(self, spec: Spec, stdio: tuple[int, int, int], shim: socket.socket, program: bytes) -> None:
        """Let it become the program of ``spec``; what goes wrong before the exec it tells ``shim`` itself."""
        work = os.memfd_create("dockmagic-start")
        try:
            os.write(work, pickle.dumps((spec, program), protocol=5))
            messages.send(self.channel, {}, (work, *stdio, shim.fileno()))
        finally:
            os.close(work)
            self.channel.close()


def sow() -> Seed:
    """Raises StartError where processes can't be traced."""
    ours, theirs = messages.pair()
    scratch = mmap.mmap(-1, SLOT, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # the child has it at the same address
    address = ctypes.addressof(ctypes.c_char.from_buffer(scratch))
    pid = os.fork()
    if pid == 0:
        ours.close()
        become_guest(theirs)
    theirs.close()
    try:
        kernel.seize(pid)
    except OSError as error:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise StartError(f"ptrace: {error.strerror}", 128) from error
    return Seed(pid, ours, (address, SLOT))


def name_of(pid: int) -> str:
    """The name of the folder of the supervisor ``pid``: with its start time, since numbers are used again.

    Raises OSError when there is no such process.
    """
    return f"{pid}-{started_at(pid)}"


def is_left(name: str) -> bool:
    """Whether ``name`` is that of a folder whose supervisor has ended."""
    pid = name.partition("-")[0]
    if not pid.isdigit():
        return False
    try:
        return name_of(int(pid)) != name
    except OSError:
        return True


def note_first(state: str, pid: int, network: str) -> None:
    """Leave word of a container's first process, and its network as others may join it."""
    with open(os.path.join(state, _FIRST), "w", encoding="utf-8") as file:
        file.write(f"{pid} {network}")


def find(folder: str, first: int) -> tuple[str, str] | None:
    """(state folder, network) of the container whose first process is ``first``, below the tier's ``folder``."""
    for name in os.listdir(folder):
        state = os.path.join(folder, name)
        try:
            with open(os.path.join(state, _FIRST), encoding="utf-8") as file:
                pid, _, network = file.read().partition(" ")
        except OSError:
            continue  # not a container's, or one that is just starting
        if pid == str(first):
            return state, network
    return None


class Ground:
    """A supervisor's folder, its control socket and its first seed. Raises OSError, StartError."""

    def __init__(self, folder: str) -> None:
        self.state = os.path.join(folder, name_of(os.getpid()))
        os.mkdir(self.state, 0o700)
        try:
            make_devices(self.state)
            self.seed = sow()
            self.control = messages.listen(self.state, CONTROL)
        except BaseException:
            self.remove()
            raise

    def give_up(self) -> None:
        """Nobody came."""
        os.kill(self.seed.pid, signal.SIGKILL)
        self.remove()

    def remove(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
