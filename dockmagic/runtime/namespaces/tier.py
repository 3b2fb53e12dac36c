"""The namespaces tiers as a shim sees them: launch and execute fork, hand over, and hear how it went."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from typing import NoReturn

from dockmagic.runtime import libc
from dockmagic.runtime.namespaces import capabilities, seccomp
from dockmagic.runtime.namespaces.birth import Birth
from dockmagic.runtime.namespaces.cgroups import Group, wants_group
from dockmagic.runtime.namespaces.container import become_container
from dockmagic.runtime.namespaces.execute import become_exec, open_namespaces
from dockmagic.runtime.namespaces.ground import Ground
from dockmagic.runtime.namespaces.owners import OwnerKeeper
from dockmagic.runtime.pids import descendants, pids_of
from dockmagic.runtime.protocols import Capability, StartError
from dockmagic.runtime.spec import DEFAULT_CAPABILITIES, Limits, Spec


class Child:
    """The protocols' Launched: the container's first process (or an exec's), a child of this shim."""

    def __init__(
        self, name: str, pid: int, given: dict[str, int], group: Group | None = None, *, whole_tree: bool
    ) -> None:
        self._name = name
        self.pid = pid
        self.console = given.get("console", -1)
        """The near side of its terminal, or -1."""
        self.oom_killed = False
        self._group = group
        self.keeper = OwnerKeeper(given["listener"], given["root"]) if "listener" in given else None
        """Answers what its filter asks, when the descriptor in it is readable."""
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

    def update(self, limits: Limits) -> None:
        """Change limits while it runs; those that are None stay as they are."""
        if self._group is None:
            self._group = Group(self._name)
        self._group.apply(limits)
        for pid in pids_of(self.pid):
            self._group.add(pid)

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
        self._ready: Birth | None = None
        if seccomp.supported():  # once here, not in every child
            seccomp.default_profile(capabilities.mask_of(DEFAULT_CAPABILITIES))

    def probe(self) -> Capability:
        from dockmagic.runtime.probe import probe

        return next(capability for capability in probe() if capability.tier == self.name)

    def get_ready(self) -> None:
        """Fork the process of a container with a pid namespace of its own ahead; runs in the shim, before its work."""
        libc.unshare(libc.CLONE_NEWPID)
        self._ready = Birth(self._become)

    def launch(self, spec: Spec, stdio: tuple[int, int, int]) -> Child:
        birth = self._birth(spec.pid_mode)
        group = None
        if wants_group(spec.limits):
            group = Group(spec.id)
            group.apply(spec.limits)
            group.add(birth.pid)
        told = os.memfd_create("dockmagic-spec")
        try:
            os.write(told, pickle.dumps(spec, protocol=5))
            given = birth.go(told, *(fd for fd in stdio if fd >= 0))
        except StartError:
            if group is not None:
                group.remove()
            raise
        finally:
            os.close(told)
        return Child(spec.id, birth.pid, given, group, whole_tree=spec.pid_mode != "private")

    def _birth(self, pid_mode: str) -> Birth:
        if pid_mode == "private":
            if self._ready is None:
                self.get_ready()
            birth, self._ready = self._ready, None
            assert birth is not None
            return birth
        if pid_mode == "host":
            libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        else:
            fd = os.open(pid_mode.removeprefix("ns:"), os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(fd, libc.CLONE_NEWPID)
            os.close(fd)
        return Birth(self._become)

    def _become(self, shim: socket.socket, fds: list[int]) -> NoReturn:
        """In the child."""
        told, *streams = fds
        os.lseek(told, 0, os.SEEK_SET)
        with open(told, "rb") as file:
            spec: Spec = pickle.load(file)
        become_container(spec, self._ground, (streams[0], streams[1], streams[2]) if streams else (-1, -1, -1), shim)

    def execute(self, target: int, spec: Spec, stdio: tuple[int, int, int]) -> Child:
        try:
            spaces = open_namespaces(target)
        except OSError as error:
            raise StartError("cannot exec in a stopped container", 128) from error
        if self._ready is not None:
            self._ready.cancel()
        if "pid" in spaces:
            libc.setns(spaces["pid"], libc.CLONE_NEWPID)
        birth = Birth(lambda shim, _fds: become_exec(spec, self._ground, target, spaces, stdio, shim))
        for fd in spaces.values():
            os.close(fd)
        return Child(spec.id, birth.pid, birth.go(), whole_tree=False)
