"""A container left running: what ``docker run -d`` gives."""

from __future__ import annotations

import contextlib
from typing import Any

from dockmagic.commands.api import Engine
from dockmagic.commands.hijack import STDERR, demultiplex
from dockmagic.commands.hijack import Chunked as _Chunked
from dockmagic.views.run import RunResult
from dockmagic.views.text import Text


class ContainerHandle(Text):
    """Shows as the id, as docker prints it: ``.logs()``, ``.exec()``, ``.stop()``, ``.wait()``, ``.remove()``."""

    def __init__(self, engine: Engine, identity: str) -> None:
        super().__init__(identity)
        self.id = identity
        self._engine = engine

    @property
    def attrs(self) -> dict[str, Any]:
        """What docker inspect tells now."""
        found: dict[str, Any] = self._engine.get(f"/containers/{self.id}/json")
        return found

    @property
    def name(self) -> str:
        return str(self.attrs["Name"]).removeprefix("/")

    @property
    def status(self) -> str:
        """created, running, paused, exited, …"""
        return str(self.attrs["State"]["Status"])

    def logs(self, tail: int | str = "all") -> str:
        """What it has written so far, both streams."""
        chunks = self._engine.download(f"/containers/{self.id}/logs", stdout=True, stderr=True, tail=tail)
        if self.attrs["Config"]["Tty"]:
            data = b"".join(chunks)
        else:
            data = b"".join(d for _, d in demultiplex(_Chunked(chunks)))
        return data.decode("utf-8", "replace")

    def exec(self, *command: str, user: str = "", workdir: str = "") -> RunResult:
        """Run a command in it and wait: ``handle.exec("ls", "-l")``."""
        made = self._engine.post(
            f"/containers/{self.id}/exec",
            {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "User": user, "WorkingDir": workdir},
        )
        out: dict[int, bytes] = {}
        connection = self._engine.hijack(f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        with contextlib.closing(connection):
            for stream, data in connection.frames(False):
                out[stream] = out.get(stream, b"") + data
        code = int(self._engine.get(f"/exec/{made['Id']}/json")["ExitCode"])
        stderr = out.pop(STDERR, b"")
        return RunResult(b"".join(out.values()), stderr, code, self.id)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return int(self._engine.post(f"/containers/{self.id}/wait")["StatusCode"])

    def stop(self, timeout: int | None = None) -> None:
        """SIGTERM, and after ``timeout`` seconds (default 10) SIGKILL."""
        self._engine.post(f"/containers/{self.id}/stop", t=timeout)

    def remove(self, force: bool = True) -> None:
        self._engine.delete(f"/containers/{self.id}", force=force, v=True)
