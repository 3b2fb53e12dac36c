"""The tracer's own process, one a container: starts the first process and execs, traces them, ends with the first.

It talks to a shim by messages on a socket: ``{"pid": …}`` when a process runs, ``{"error": …, "code": …}`` when it
could not be started, ``{"exit": code, "oom": bool}`` at its end. An exec comes over the socket ``control`` in the
container's state folder; SIGUSR1 says that someone waits there, since the loop sleeps in waitpid. A signal that comes
just before it sleeps would be missed, so the shim repeats it until it is answered.
"""

from __future__ import annotations

import gc
import os
import pickle
import re
import select
import shutil
import signal
import socket
import sys
import traceback
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Spec
from dockmagic.runtime.tracer import kernel, rules
from dockmagic.runtime.tracer.arch import Architecture, current
from dockmagic.runtime.tracer.copyup import CopyUp
from dockmagic.runtime.tracer.elf import Programs
from dockmagic.runtime.tracer.guest import Guest, Handler
from dockmagic.runtime.tracer.handlers import births, identity, metadata, opening, paths, sockets, stat, system, xattr
from dockmagic.runtime.tracer.handlers.execute import Execute
from dockmagic.runtime.tracer.identity import Credentials
from dockmagic.runtime.tracer.layout import Layout, staging_folder
from dockmagic.runtime.tracer.limits import PERIOD, MemoryWatch
from dockmagic.runtime.tracer.loop import Loop
from dockmagic.runtime.tracer.memory import AddressSpace
from dockmagic.runtime.tracer.namespace import Namespace
from dockmagic.runtime.tracer.network import Network, Space, address_for, privileged_ports_refused
from dockmagic.runtime.tracer.ready import Ground, Seed, find, note_first, sow
from dockmagic.runtime.tracer.task import FsState, Task

_LOG = "tracer.log"
_UMASK = 0o022
_JOINED = re.compile(r"ns:/proc/(\d+)/ns/net")
_PAUSE_LOOK = 0.2
"""Seconds between two looks, while paused, whether the first process was killed."""


class Supervisor:
    """See the module. :meth:`run` never returns."""

    def __init__(
        self, spec: Spec, stdio: tuple[int, int, int], ground: Ground, programs: str, shim: socket.socket
    ) -> None:
        arch = machine()
        self._spec = spec
        self._stdio = stdio
        self._ground = ground
        self._state = state = ground.state
        self._control = ground.control
        self._shim = shim
        self._code = 128
        self._out_of_memory = False
        self._paused = False
        console = ""
        if spec.terminal:
            console = os.ttyname(stdio[0])
        namespace = Layout(spec, state).build(console)
        self._staging = staging_folder(spec.rootfs, state) if spec.copy_on_write else ""
        copy_up = CopyUp(os.fsencode(self._staging)) if spec.copy_on_write else None
        self._guest = Guest(arch, namespace, copy_up, spec.hostname, spec.domainname)
        self._guest.proc_files.copies = os.fsencode(programs)
        self._execute = Execute(self._guest, Programs(os.fsencode(programs), arch.elf_machine))
        self._network = network_name(spec, os.path.dirname(state))
        table = handlers_of(self._guest, self._execute, network_of(self._network))
        if spec.limits.pids:
            table.update(births.handlers(self._guest, spec.limits.pids))
        guarded = spec.copy_on_write or spec.read_only or any(mount.read_only for mount in spec.mounts)
        self._filter = rules.build(arch, tuple(table), guard_descriptors=guarded)
        self._loop = Loop(
            self._guest, table, self._execute, os.path.join(os.path.dirname(state), _LOG), first_is_init=not spec.init
        )

    def run(self) -> NoReturn:
        try:
            self._make_working_directory()
            self._guest.first = self._start(self._ground.seed, self._spec, self._stdio, self._shim)
            note_first(self._state, self._guest.first, self._network)
            for fd in self._stdio:
                os.close(fd)  # so that the shim sees the end of the streams when the container closes them
            signal.signal(signal.SIGUSR1, lambda _number, _frame: self._serve())
            self._watch_memory()
            gc.disable()  # handlers leave no cycles behind
            self._loop.run()
            signal.setitimer(signal.ITIMER_REAL, 0)
            libc.prctl(libc.PR_SET_PDEATHSIG, 0)  # nothing is traced any more: the shim may go while we tidy up
            self._report(self._shim, self._code)
            self._shim.close()
        finally:
            self._clean()
        os._exit(0)

    # --- starting ---

    def _start(self, seed: Seed, spec: Spec, stdio: tuple[int, int, int], shim: socket.socket) -> int:
        """Let ``seed`` become the process of ``spec``; the pid."""
        pid, user = seed.pid, spec.user
        task = self._loop.adopt(pid, Credentials.of(user.uid, user.gid, user.groups), _UMASK)
        task.space.free.append(seed.scratch)
        self._loop.started[pid] = lambda: messages.send(shim, {"pid": pid, "state": self._state})
        self._loop.ended[pid] = lambda status: self._ended(pid, status, shim)
        seed.grow(spec, stdio, shim, self._filter)
        return pid

    def _make_working_directory(self) -> None:
        """As runc does: with its parents, root's, whoever the process will be."""
        nobody = Task(0, 0, FsState(), AddressSpace(), Credentials.of(0, 0))
        path = b""
        for name in os.fsencode(self._spec.cwd).split(b"/"):
            if not name:
                continue
            path += b"/" + name
            try:
                os.mkdir(self._guest.resolver.find(path, True, nobody).host)
            except OSError:
                pass  # it is there, or can't be: the process's chdir will say so

    def _watch_memory(self) -> None:
        if not self._spec.limits.memory:
            return
        watch = MemoryWatch(self._guest.tasks, self._spec.limits.memory)

        def look(_number: int, _frame: object) -> None:
            victim = watch.over()
            if victim is not None:
                self._out_of_memory = True
                os.kill(victim, signal.SIGKILL)

        signal.signal(signal.SIGALRM, look)
        signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)

    # --- execs ---

    def _serve(self) -> None:
        """Take every exec that waits. Runs as a signal's handler between two steps of the loop."""
        self._control.setblocking(False)
        while True:
            try:
                connection, _ = self._control.accept()
            except BlockingIOError:
                return
            try:
                self._take(connection)
            except (OSError, StartError, pickle.UnpicklingError) as error:
                try:
                    messages.send(connection, {"error": str(error), "code": getattr(error, "code", 128)})
                except OSError:
                    pass  # it has gone
                connection.close()

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        received = messages.receive(connection)
        if received is None:
            connection.close()
            return
        message, fds = received
        if self._loop.ending:
            for fd in fds:
                os.close(fd)
            raise StartError("cannot exec in a stopped container", 128)
        if message.get("op") == "exec":
            self._exec(connection, fds)
            return
        messages.send(connection, {})
        connection.close()
        if message.get("op") == "pause":
            self._pause()
        elif message.get("op") == "resume":
            self._paused = False

    def _exec(self, connection: socket.socket, fds: list[int]) -> None:
        try:
            with open(os.dup(fds[0]), "rb") as file:
                file.seek(0)
                spec: Spec = pickle.load(file)
            self._start(sow(), spec, (fds[1], fds[2], fds[3]), connection)
        finally:
            for fd in fds:
                os.close(fd)

    def _pause(self) -> None:
        """Stop every task and treat none of their stops until someone says resume. Runs inside the signal's handler."""
        self._paused = True
        for pid in self._guest.tasks:
            kernel.ptrace(kernel.PTRACE_INTERRUPT, pid, 0, 0)
        while self._paused and not _ended(self._guest.first):
            if select.select([self._control], [], [], _PAUSE_LOOK)[0]:
                self._serve()

    # --- ending ---

    def _ended(self, pid: int, status: int, shim: socket.socket) -> None:
        started = self._loop.started.pop(pid, None)
        if started is not None:
            started()  # it ended before it ran the program; if it has told why, that was read first
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        if pid == self._guest.first:
            self._code = code
            self._loop.kill_all()
            return
        self._report(shim, code)
        shim.close()

    def _report(self, shim: socket.socket, code: int) -> None:
        try:
            messages.send(shim, {"exit": code, "oom": self._out_of_memory})
        except OSError:
            pass  # the shim has gone

    def _clean(self) -> None:
        self._ground.remove()
        if self._staging and self._staging != self._spec.rootfs:
            shutil.rmtree(self._staging, ignore_errors=True)


def _ended(pid: int) -> bool:
    """Whether a process is a zombie or gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in (b"Z", b"X")
    except OSError:
        return True


def network_name(spec: Spec, folder: str) -> str:
    """The Spec's network; ``none`` with an address, and for one that another container's process is in, that one's.

    Raises StartError when that container has ended.
    """
    if spec.network == "none":
        return f"none:{address_for(spec.id)}"
    joined = _JOINED.fullmatch(spec.network)
    if joined is None:
        return spec.network
    found = find(folder, int(joined[1]))
    if found is None:
        raise StartError("the container whose network is to be joined has ended", 128)
    return found[1]


def network_of(name: str) -> Network | None:
    """How the socket addresses of a container are translated, by :func:`network_name`; None: it uses the host's."""
    kind, _, address = name.partition(":")
    if kind not in ("loopback", "none"):
        return None
    space = Space(address) if address.startswith("/") else None
    own = space.own() if space is not None else address
    return Network(own, shifted=privileged_ports_refused(), isolated=kind == "none", space=space)


def machine() -> Architecture:
    """This machine's tables. Raises StartError where the tracer has none for it."""
    arch = current()
    if arch is None:
        raise StartError(f"the tracer does not know this machine ({os.uname().machine})", 128)
    return arch


def handlers_of(guest: Guest, execute: Execute, network: Network | None) -> dict[str, Handler]:
    """The handlers of all calls that stop, by name."""
    table: dict[str, Handler] = {}
    for family in (opening, paths, stat, metadata, identity, system, xattr):
        table.update(family.handlers(guest))
    table.update(sockets.handlers(guest, network))
    table.update(execute.table())
    return table


def rehearse(folder: str) -> None:
    """Do once, for no container, what is the same for all: build the filter, which is remembered for forks of this
    process, and touch memory that each would have to copy (a millisecond)."""
    arch = current()
    if arch is None:
        return
    guest = Guest(arch, Namespace(os.fsencode(folder)), None, "")
    execute = Execute(guest, Programs(os.fsencode(folder), arch.elf_machine))
    for network in (Network("127.255.255.254", shifted=False), None):
        table = handlers_of(guest, execute, network)
        for guarded in (True, False):
            rules.build(arch, tuple(table), guard_descriptors=guarded)


def be_supervisor(folder: str, programs: str, shim: socket.socket) -> NoReturn:
    """The rest of a process that was forked for this: it waits on ``shim`` for a Spec and streams, or for its end."""
    parent = os.getppid()
    libc.set_name("dockmagic-trace")
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.umask(_UMASK)
    try:
        machine()
        ground = Ground(folder)
        rehearse(programs)
        received = messages.receive(shim)
        if received is None:
            ground.give_up()
            os._exit(0)
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)  # and EXITKILL then ends the container
        if os.getppid() != parent:
            ground.give_up()
            os._exit(0)
        work, *stdio = received[1]
        with open(work, "rb") as file:
            file.seek(0)
            spec: Spec = pickle.load(file)
        Supervisor(spec, (stdio[0], stdio[1], stdio[2]), ground, programs, shim).run()
    except StartError as error:
        messages.send(shim, {"error": str(error), "code": error.code})
    except BaseException:
        with open(os.path.join(folder, _LOG), "a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        messages.send(shim, {"error": f"the tracer failed: {sys.exc_info()[1]!r}", "code": 128})
    finally:
        os._exit(1)
