"""Opening the runtime: choose the tier, enter the engine's own namespaces, start the zygote."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from pathlib import Path

from dockmagic.errors import DockmagicError, Unavailable
from dockmagic.runtime import libc, messages, process, userns
from dockmagic.runtime.namespaces import capabilities
from dockmagic.runtime.namespaces.ground import Ground
from dockmagic.runtime.probe import TIERS, probe_tier
from dockmagic.runtime.process import ShimProcess
from dockmagic.runtime.protocols import Capability, Process
from dockmagic.runtime.spec import Exit, Spec
from dockmagic.runtime.zygote import RelayWork, Setup, Work, shim_of_note, start_zygote


class ShimRuntime:
    """The protocols' Runtime: a zygote that forks shims of one tier."""

    def __init__(self, capability: Capability, setup: Setup) -> None:
        self.capability = capability
        self._setup = setup
        self._zygote = start_zygote(setup)
        self._lock = threading.Lock()

    def prepare(self, spec: Spec, folder: Path) -> ShimProcess:
        return ShimProcess(spec.id, folder, self._fork(Work(spec, str(folder)), spec.pid_mode != "private"))

    def prepare_exec(self, spec: Spec, folder: Path, container: Process) -> ShimProcess:
        target = container.pid or -1
        return ShimProcess(spec.id, folder, self._fork(Work(spec, str(folder), target), not _has_own_pids(target)))

    def prepare_relay(self, folder: Path, network: str = "") -> socket.socket:
        """A relay's control connection; see networks/relay.py. ``network``: the namespace's file it is to enter."""
        return self._fork(RelayWork(str(folder), network), fresh=True)

    def find(self, folder: Path) -> ShimProcess | Exit | None:
        return process.find(folder)

    def close(self) -> None:
        """End the zygote; what runs, runs on."""
        self._zygote.close()

    def _fork(self, work: Work | RelayWork, fresh: bool = False) -> socket.socket:
        """The engine's end of the control connection. ``fresh``: not a shim forked ahead; see :class:`zygote.Work`."""
        ours, theirs = messages.pair()
        fd = os.memfd_create("dockmagic-spec")
        try:
            os.write(fd, pickle.dumps(work, protocol=5))
            os.lseek(fd, 0, os.SEEK_SET)
            self._request({"fresh": fresh}, (theirs.fileno(), fd))
        except OSError as error:
            ours.close()
            raise DockmagicError(f"the runtime's zygote is gone: {error.strerror}") from error
        finally:
            os.close(fd)
            theirs.close()
        return ours

    def _request(self, message: messages.Message, fds: tuple[int, ...]) -> None:
        """Tell the zygote; one that was killed (for want of memory, by mistake) is replaced."""
        zygote = self._zygote
        try:
            messages.send(zygote, message, fds)
        except OSError:
            with self._lock:
                if self._zygote is zygote:
                    zygote.close()
                    self._zygote = start_zygote(self._setup)
            messages.send(self._zygote, message, fds)


def open_runtime(folder: Path, tier: str | None = None) -> ShimRuntime:
    """The runtime of this process; ``folder`` is where it keeps its own few files, one folder an engine.

    To be called once, before any thread is started and before much is imported. In the privileged and the rootless
    tier the calling process then lives in a mount namespace of its own, in the rootless tier also in a user namespace
    where it is root. ``tier`` (else ``DOCKMAGIC_RUNTIME``) forces one. Raises Unavailable when no tier, or not the one
    asked for, can be had here.
    """
    if not libc.single_threaded():
        raise RuntimeError("open_runtime must be called before any thread is started")
    folder = folder.absolute()
    registry = folder / "shims"
    registry.mkdir(parents=True, exist_ok=True)
    capability = _choose(folder, tier or os.environ.get("DOCKMAGIC_RUNTIME", ""))
    if capability.tier == "tracer":
        return ShimRuntime(capability, Setup("tracer", str(registry), folder=str(folder / "tracer")))
    if not _join_survivor(registry):
        _enter(capability)
    ground = Ground(
        rootless=not userns.in_initial_namespace(),
        single_id=userns.mapped_ids() == 1,
        asks=any(finding.name == "owner records" and finding.ok for finding in capability.findings),
        last_capability=capabilities.last(),
        capabilities=capabilities.effective(),
    )
    return ShimRuntime(capability, Setup(capability.tier, str(registry), ground))


def _has_own_pids(target: int) -> bool:
    """Whether a process is in another pid namespace than this one."""
    try:
        return os.readlink(f"/proc/{target}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return True  # it has ended, which its exec will say


def _choose(folder: Path, forced: str) -> Capability:
    """The strongest tier there is, or the one asked for. Raises Unavailable and says why."""
    if forced and forced not in TIERS:
        raise Unavailable(f"unknown runtime {forced}: DOCKMAGIC_RUNTIME is one of {', '.join(TIERS)}")
    reasons = []
    for name in (forced,) if forced else TIERS:
        capability = probe_tier(name, folder)
        if capability.available:
            return capability
        failed = next((f for f in reversed(capability.findings) if not f.ok), None)
        reasons.append(f"{name}: {failed.name}: {failed.detail or failed.meaning}" if failed else name)
    what = f"the {forced} runtime can't work here" if forced else "no runtime can work here"
    raise Unavailable(f"{what} ({'; '.join(reasons)})")


def _enter(capability: Capability) -> None:
    """Namespaces for the engine itself: what it mounts, only it and its containers see."""
    if capability.tier == "rootless":
        userns.enter(libc.CLONE_NEWNS)
    else:
        libc.unshare(libc.CLONE_NEWNS)
    libc.mount(None, "/", None, libc.MS_SLAVE | libc.MS_REC)


def _join_survivor(registry: Path) -> bool:
    """Join the namespaces of a shim that an earlier engine left running, so that its overlays' mounts are here too."""
    for note in registry.iterdir():
        pid = shim_of_note(note)
        if not pid:
            note.unlink(missing_ok=True)
            continue
        if _join(pid):
            return True
    return False


def _join(pid: int) -> bool:
    folder = os.getcwd()
    try:
        kinds = [k for k in ("user", "mnt") if os.readlink(f"/proc/{pid}/ns/{k}") != os.readlink(f"/proc/self/ns/{k}")]
        fds = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    except OSError:
        return False  # it ended just now
    try:
        for fd in fds:
            libc.setns(fd)
    except OSError as error:
        raise Unavailable(f"containers of an earlier engine run on, but can't be joined: {error.strerror}") from error
    finally:
        for fd in fds:
            os.close(fd)
    os.chdir(folder)  # joining a mount namespace leads to its root
    return True
