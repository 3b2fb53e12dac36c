"""Opening the runtime: choose the tier, enter the engine's own namespaces, start the zygote."""

from __future__ import annotations

import os
import pickle
import socket
from dataclasses import dataclass
from pathlib import Path

from dockmagic.errors import DockmagicError, Unavailable
from dockmagic.runtime import libc, messages, process
from dockmagic.runtime.namespaces import capabilities
from dockmagic.runtime.namespaces.container import Ground
from dockmagic.runtime.namespaces.tier import NamespaceTier
from dockmagic.runtime.process import ShimProcess
from dockmagic.runtime.protocols import Capability, Process, Tier
from dockmagic.runtime.spec import Exit, Spec
from dockmagic.runtime.zygote import Work, start_zygote


class ShimRuntime:
    """The protocols' Runtime: a zygote that forks shims of one tier."""

    def __init__(self, capability: Capability, zygote: socket.socket) -> None:
        self.capability = capability
        self._zygote = zygote

    def prepare(self, spec: Spec, folder: Path) -> ShimProcess:
        return self._fork(Work(spec, str(folder)))

    def prepare_exec(self, spec: Spec, folder: Path, container: Process) -> ShimProcess:
        return self._fork(Work(spec, str(folder), container.pid or -1))

    def find(self, folder: Path) -> ShimProcess | Exit | None:
        return process.find(folder)

    def close(self) -> None:
        """End the zygote; what runs, runs on."""
        self._zygote.close()

    def _fork(self, work: Work) -> ShimProcess:
        ours, theirs = messages.pair()
        fd = os.memfd_create("dockmagic-spec")
        try:
            os.write(fd, pickle.dumps(work, protocol=5))
            os.lseek(fd, 0, os.SEEK_SET)
            messages.send(self._zygote, {}, (theirs.fileno(), fd))
        except OSError as error:
            ours.close()
            raise DockmagicError(f"the runtime's zygote is gone: {error.strerror}") from error
        finally:
            os.close(fd)
            theirs.close()
        return ShimProcess(work.spec.id, Path(work.folder), ours)


def open_runtime(folder: Path, tier: str | None = None) -> ShimRuntime:
    """The runtime of this process; ``folder`` is where it keeps its own few files, one folder an engine.

    To be called once, before any thread is started and before much is imported. In the privileged and the rootless
    tier the calling process then lives in a mount namespace of its own, in the rootless tier also in a user namespace
    where it is root. ``tier`` (else ``DOCKMAGIC_RUNTIME``) forces one. Raises Unavailable when no tier, or not the one
    asked for, can be had here.
    """
    if not libc.single_threaded():
        raise RuntimeError("open_runtime must be called before any thread is started")
    folder.mkdir(parents=True, exist_ok=True)
    registry = folder / "shims"
    registry.mkdir(exist_ok=True)
    capability = Capability("namespaces", True)
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount(None, "/", None, libc.MS_SLAVE | libc.MS_REC)
    ground = Ground(rootless=False, single_id=False, last_capability=capabilities.last())
    return ShimRuntime(capability, start_zygote(NamespaceTier("namespaces", ground), str(registry)))
