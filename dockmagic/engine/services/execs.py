"""Execs: further processes in a running container."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockmagic.engine.ids import new_id
from dockmagic.engine.services.containers import capabilities
from dockmagic.engine.services.containers.launch import Launcher, failure
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.containers.specs import environment
from dockmagic.engine.services.events import Events
from dockmagic.engine.services.networks.links import Links
from dockmagic.errors import Conflict, DockmagicError, InvalidParameter, NotFound
from dockmagic.runtime.protocols import Process, Runtime, StartError
from dockmagic.runtime.spec import Exit, Spec


@dataclass
class Exec:
    """One exec. ``exit_code`` is None until it has ended."""

    id: str
    container: Container
    command: list[str]
    tty: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    user: str = ""
    env: list[str] = field(default_factory=list)
    cwd: str = ""
    privileged: bool = False
    detach_keys: str = ""
    running: bool = False
    started: bool = False
    exit_code: int | None = None
    pid: int = 0
    process: Process | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def shape(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "ID": self.id,
            "Running": self.running,
            "ExitCode": self.exit_code,
            "ProcessConfig": {
                "tty": self.tty,
                "entrypoint": self.command[0],
                "arguments": self.command[1:],
                "privileged": self.privileged,
                **({"user": self.user} if self.user else {}),
            },
            "OpenStdin": self.stdin,
            "OpenStderr": self.stderr,
            "OpenStdout": self.stdout,
            "CanRemove": False,
            "ContainerID": self.container.id,
            "DetachKeys": self.detach_keys,
            "Pid": self.pid,
        }


class Execs:
    """All execs of running containers; they are forgotten with their container's end."""

    def __init__(
        self, registry: ContainerRegistry, runtime: Runtime, launcher: Launcher, events: Events, links: Links
    ) -> None:
        self._registry = registry
        self._links = links
        self._runtime = runtime
        self._launcher = launcher
        self._events = events
        self._lock = threading.Lock()
        self._known: dict[str, Exec] = {}

    def create(self, container: Container, asked: Mapping[str, Any]) -> Exec:
        """Raises InvalidParameter, Conflict (not running, paused)."""
        command = asked.get("Cmd") or []
        if isinstance(command, str):
            command = [command]
        if not command:
            raise InvalidParameter("No exec command specified")
        _require_running(container)
        one = Exec(
            new_id(),
            container,
            [str(word) for word in command],
            tty=bool(asked.get("Tty")),
            stdin=bool(asked.get("AttachStdin")),
            stdout=bool(asked.get("AttachStdout")),
            stderr=bool(asked.get("AttachStderr")),
            user=asked.get("User") or "",
            env=list(asked.get("Env") or ()),
            cwd=asked.get("WorkingDir") or "",
            privileged=bool(asked.get("Privileged")),
            detach_keys=asked.get("DetachKeys") or "",
        )
        with self._lock:
            self._known[one.id] = one
            container.execs[one.id] = one
        self._tell("exec_create: " + " ".join(one.command), one)
        return one

    def get(self, id: str) -> Exec:
        """Raises NotFound."""
        with self._lock:
            one = self._known.get(id)
        if one is None or one.container.removed:
            raise NotFound(f"No such exec instance: {id}")
        return one

    def start(self, one: Exec, *, console: tuple[int, int] = (0, 0), attach: bool = True) -> socket.socket | None:
        """Run it; its stream when attached. Raises Conflict, StartError."""
        with one.container.lock:
            if one.started:
                raise Conflict(
                    f"Error: Exec command {one.id} has already run"
                    if one.ended.is_set()
                    else f"Error: Exec command {one.id} is already running"
                )
            main = _require_running(one.container)
            one.started = True
        try:
            process = self._runtime.prepare_exec(self._spec(one, console), self._folder(one), main)
        except DockmagicError:
            one.exit_code = 126
            one.ended.set()
            raise
        stream = None
        try:
            if attach:
                stream = process.attach(stdin=one.stdin, stdout=one.stdout, stderr=one.stderr)
            one.pid = process.start()
        except StartError as error:
            one.exit_code = error.code
            one.ended.set()
            process.close()
            if stream is not None:
                stream.close()
            self._clean(one)
            raise _exec_failure(error) from error
        one.process = process
        one.running = True
        self._tell("exec_start: " + " ".join(one.command), one)
        threading.Thread(target=self._watch, args=(one, process), name="exec", daemon=True).start()
        return stream

    def resize(self, one: Exec, rows: int, columns: int) -> None:
        """Raises Conflict when it does not run."""
        if one.process is None or not one.running:
            raise Conflict(f"exec process is not running: {one.id}")
        one.process.resize(rows, columns)

    def probe(self, container: Container, command: list[str], timeout: float) -> tuple[int, bytes]:
        """A healthcheck's command: its exit code (-1 when it took too long) and what it wrote."""
        try:
            one = self.create(container, {"Cmd": command, "AttachStdout": True, "AttachStderr": True, "Tty": True})
            stream = self.start(one)
        except (Conflict, StartError) as error:
            return 1, str(error).encode()
        assert stream is not None
        output = b""
        deadline = time.monotonic() + timeout
        with stream:
            while True:
                stream.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    data = stream.recv(65536)
                except TimeoutError:
                    with contextlib.suppress(Conflict):
                        if one.process is not None:
                            one.process.signal(9)
                    return -1, output
                except OSError:
                    break
                if not data:
                    break
                if len(output) < 8192:
                    output += data
        one.ended.wait(5)
        return one.exit_code or 0, output

    def _spec(self, one: Exec, console: tuple[int, int]) -> Spec:
        from dockmagic.runtime.users import resolve_user

        record = one.container.record
        config, host = record.config, record.host_config
        rootfs = self._launcher.mount(one.container)
        user = resolve_user(rootfs, one.user or config["User"], tuple(host["GroupAdd"] or ()))
        merged = {**config, "Env": [*(config["Env"] or ()), *one.env]}
        privileged = one.privileged or host["Privileged"]
        return Spec(
            id=one.id,
            rootfs=rootfs,
            args=tuple(one.command),
            env=environment(merged, user.home, self._links.environment(one.container), terminal=one.tty),
            cwd=one.cwd or config["WorkingDir"] or "/",
            user=user,
            terminal=one.tty,
            console_size=console,
            stdin=one.stdin,
            stdin_once=one.stdin,
            hostname=config["Hostname"],
            capabilities=capabilities.effective(host["CapAdd"], host["CapDrop"], privileged=privileged),
            privileged=privileged,
            copy_on_write=one.container.copy_on_write,
        )

    def _watch(self, one: Exec, process: Process) -> None:
        exit = process.wait() or Exit(137, "")
        process.close()
        one.exit_code = exit.code
        one.running = False
        one.pid = 0
        self._tell("exec_die", one, exitCode=str(exit.code))
        one.ended.set()
        self._clean(one)
        self._forget_old(one.container)

    def _forget_old(self, container: Container) -> None:
        """Keep the last ended ones, for clients that ask for the exit code; not all of a healthcheck's."""
        with self._lock:
            ended = [one for one in container.execs.values() if one.ended.is_set()]
            for one in ended[:-100]:
                container.execs.pop(one.id, None)
                self._known.pop(one.id, None)
            for id in [id for id, one in self._known.items() if one.container.removed]:
                del self._known[id]

    def _folder(self, one: Exec) -> Path:
        return one.container.folder / f"exec-{one.id[:16]}"

    def _clean(self, one: Exec) -> None:
        shutil.rmtree(self._folder(one), ignore_errors=True)

    def _tell(self, action: str, one: Exec, **more: str) -> None:
        attributes = one.container.attributes(execID=one.id, **more)
        self._events.publish("container", action, one.container.id, attributes)


def _require_running(container: Container) -> Process:
    with container.lock:
        if container.process is None:
            raise Conflict(f"container {container.id} is not running")
        if container.record.status == "paused":
            raise Conflict(f"Container {container.name} is paused, unpause the container before exec")
        return container.process


def _exec_failure(error: StartError) -> StartError:
    wrapped = failure(error)
    text = f"OCI runtime exec failed: exec failed: unable to start container process: {error}: unknown"
    renamed = StartError(text, error.code)
    renamed.status = wrapped.status
    return renamed
