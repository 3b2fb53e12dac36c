"""The engine's side of a shim: :class:`ShimProcess` is the protocols' Process, :func:`find` meets a shim again."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from pathlib import Path
from typing import Any

from dockmagic.errors import Conflict, DockmagicError
from dockmagic.runtime import messages
from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Exit, Limits


class ShimProcess:
    """A process held by a shim. Safe to use from several threads at once."""

    def __init__(self, id: str, folder: Path, control: socket.socket, pid: int = 0) -> None:
        self.id = id
        self.folder = folder
        self._control = control
        self._pid = pid
        self._lock = threading.Lock()

    def start(self) -> int:
        answer = self._ask({"op": "start"})
        if answer is None:
            raise StartError(self._last_words(), 128)
        if "error" in answer:
            raise StartError(answer["error"], int(answer.get("code", 128)))
        self._pid = int(answer["pid"])
        return self._pid

    def attach(self, *, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> socket.socket:
        ours, theirs = socket.socketpair()
        request = {"op": "attach", "stdin": stdin, "stdout": stdout, "stderr": stderr}
        with theirs:
            self._send(request, theirs.fileno())  # when the shim is gone, the end of the stream says so
        return ours

    def watch_log(self) -> int:
        """The reading end of a pipe: a byte comes when the log grew, the end when it is complete."""
        near, far = os.pipe()
        try:
            self._send({"op": "watch"}, far)
        finally:
            os.close(far)
        return near

    def signal(self, number: int) -> None:
        self._command({"op": "signal", "number": number})

    def resize(self, rows: int, columns: int) -> None:
        self._command({"op": "resize", "rows": rows, "columns": columns})

    def pause(self) -> None:
        self._command({"op": "pause"})

    def resume(self) -> None:
        self._command({"op": "resume"})

    def update(self, limits: Limits) -> None:
        """Change a running container's limits (docker update); None leaves one as it is. rlimits and shm stay."""
        fields = ("memory", "memory_swap", "cpus", "cpu_shares", "cpuset", "pids")
        self._command({"op": "update", "limits": {name: getattr(limits, name) for name in fields}})

    def wait(self, timeout: float | None = None) -> Exit | None:
        if not self._ended(timeout):
            return None
        return read_exit(self.folder) or Exit(137, "", error="the shim was killed")

    @property
    def pid(self) -> int:
        return self._pid if self._pid and not self._ended(0) else 0

    def pids(self) -> list[int]:
        from dockmagic.runtime.pids import pids_of

        first = self.pid
        return pids_of(first) if first else []

    def close(self) -> None:
        # shutdown first: another thread may be polling the socket, and must not be left with a reused descriptor
        try:
            self._control.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        with self._lock:
            self._control.close()

    def _ended(self, timeout: float | None) -> bool:
        number = self._control.fileno()
        if number < 0:
            return True
        poll = select.poll()
        poll.register(number, 0)  # hang-up is always told
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    def _ask(self, request: messages.Message) -> messages.Message | None:
        with self._lock:
            try:
                messages.send(self._control, request)
                received = messages.receive(self._control)
            except OSError:
                return None
        return None if received is None else received[0]

    def _send(self, request: messages.Message, fd: int) -> None:
        with self._lock:
            try:
                messages.send(self._control, request, (fd,))
            except OSError:
                pass

    def _command(self, request: messages.Message) -> None:
        answer = self._ask(request)
        if answer is None or answer.get("errno") == 3:
            raise Conflict(f"Container {self.id} is not running")
        if "error" in answer:
            raise DockmagicError(str(answer["error"]))

    def _last_words(self) -> str:
        try:
            return "the shim failed: " + (self.folder / "shim.log").read_text(encoding="utf-8").strip().splitlines()[-1]
        except (OSError, IndexError):
            return "the shim ended before the process started"


def read_exit(folder: Path) -> Exit | None:
    """How the process of the shim in ``folder`` ended, or None when it left no word."""
    try:
        record: dict[str, Any] = json.loads((folder / messages.EXIT_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Exit(
        int(record["code"]), str(record["finished_at"]), bool(record.get("oom_killed")), str(record.get("error", ""))
    )


def find(folder: Path) -> ShimProcess | Exit | None:
    """The live process whose shim is in ``folder``, how it ended, or None when neither is known."""
    try:
        control = messages.connect(str(folder), messages.SHIM_SOCKET)
        messages.send(control, {"op": "status"})
        received = messages.receive(control)
    except OSError:
        received = None
    if received is None:
        return read_exit(folder)
    status = received[0]
    return ShimProcess(str(status["id"]), folder, control, int(status["pid"]))
