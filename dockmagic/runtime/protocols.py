"""The few shapes that everything above the runtime knows: Tier, Runtime, Process."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dockmagic.errors import DockmagicError
from dockmagic.runtime.spec import Exit, Limits, Spec


class StartError(DockmagicError):
    """The process could not be started. ``code`` is docker's exit code: 127 not found, 126 not executable, else 128.

    The message is runc's, as in ``exec: "nope": executable file not found in $PATH``.
    """

    status = 400

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[StartError], tuple[str, int]]:
        return StartError, (str(self), self.code)


@dataclass(frozen=True)
class Finding:
    """One thing the probe tried: its name, whether it worked, what the kernel said, what follows from it."""

    name: str
    ok: bool
    detail: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Capability:
    """What one tier can give on this machine, and why. ``not_isolated``: one line each, for ``docker info``."""

    tier: str
    """``namespaces`` (privileged), ``rootless`` or ``tracer``"""
    available: bool
    findings: tuple[Finding, ...] = ()
    not_isolated: tuple[str, ...] = ()
    id_mapping: str = "host"
    """``host`` (real ids), ``range`` (subordinate ids), ``single`` (one id; owners are recorded)"""
    overlay: str = ""
    """mount options that make an overlay work here (``""`` none needed, ``userxattr``), or ``no``"""


class Tier(Protocol):
    """How a Spec becomes a process. A tier runs inside the shim, in its own small process."""

    name: str

    def probe(self) -> Capability: ...

    def launch(self, spec: Spec, stdio: tuple[int, int, int]) -> Launched: ...

    def execute(self, target: int, spec: Spec, stdio: tuple[int, int, int]) -> Launched:
        """Run ``spec`` (an exec) inside the container whose first process is ``target``."""
        ...


class Launched(Protocol):
    """A process a tier started, as its shim holds it."""

    pid: int
    """As the engine's pid namespace sees it."""

    def wait(self) -> int:
        """Block until it ends; docker's exit code (128+n for a signal)."""
        ...

    def signal(self, number: int) -> None: ...


class Process(Protocol):
    """A container's process or an exec, as the engine and the builder hold it: a client of its shim."""

    id: str

    def start(self) -> int:
        """Start it; the pid. Raises StartError."""
        ...

    def attach(self, *, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> socket.socket:
        """A stream socket: what is read are docker's frames (raw bytes with a terminal), what is written is stdin.

        Shutting down its writing side ends stdin; the read side ends when the process's output does. May be
        called before :meth:`start`, and then nothing of the output is missed.
        """
        ...

    def signal(self, number: int) -> None: ...

    def resize(self, rows: int, columns: int) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def update(self, limits: Limits) -> None:
        """Change the limits of a running container; None leaves one as it is."""
        ...

    def watch_log(self) -> int:
        """The reading end of a pipe: bytes come when the log grew, its end when the log is complete."""
        ...

    def wait(self, timeout: float | None = None) -> Exit | None:
        """How it ended, or None when ``timeout`` (seconds) passed first."""
        ...

    @property
    def pid(self) -> int:
        """The first process's pid, 0 when not running."""
        ...

    def pids(self) -> list[int]:
        """All processes of the container, as the engine's pid namespace numbers them."""
        ...

    def close(self) -> None:
        """Let go: a shim whose process never started ends; a running one is left alone."""
        ...


class Runtime(Protocol):
    """What the engine and the builder call. Made by ``dockmagic.runtime.open_runtime(folder)`` before any thread."""

    capability: Capability

    def prepare(self, spec: Spec, folder: Path) -> Process:
        """Fork a shim for ``spec`` with its files in ``folder``; nothing runs before ``start``."""
        ...

    def prepare_exec(self, spec: Spec, folder: Path, container: Process) -> Process:
        """The same for an exec in a running container."""
        ...

    def find(self, folder: Path) -> Process | Exit | None:
        """After an engine's crash: the live process whose shim lives in ``folder``, how it ended, or None."""
        ...

    def close(self) -> None: ...
