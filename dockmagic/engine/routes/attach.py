"""The hijacked connections: attach to a container, start an exec."""

from __future__ import annotations

import socket
from typing import Any

from dockmagic.detachkeys import DetachKeys
from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, Hijack, Response, json_response
from dockmagic.engine.http.router import Route
from dockmagic.engine.pump import Headers, finish, pump, tell
from dockmagic.engine.routes.containers import size, stream_type
from dockmagic.engine.services.containers import logs
from dockmagic.engine.services.containers.config import folded
from dockmagic.engine.services.containers.life import Life
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.execs import Execs
from dockmagic.errors import Conflict, DockmagicError, InvalidParameter

_EXEC_FIELDS = ("AttachStdin", "AttachStdout", "AttachStderr", "Cmd", "DetachKeys", "Env", "Privileged", "Tty", "User")


class AttachRoutes:
    """Attach and exec."""

    def __init__(self, registry: ContainerRegistry, life: Life, execs: Execs) -> None:
        self._registry = registry
        self._life = life
        self._execs = execs

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/containers/{id}/attach", self._attach),
            Route("POST", "/containers/{id}/exec", self._exec_create),
            Route("POST", "/exec/{id}/start", self._exec_start),
            Route("POST", "/exec/{id}/resize", self._exec_resize),
            Route("GET", "/exec/{id}/json", self._exec_inspect),
        ]

    def _attach(self, request: Request) -> Answer:
        container = self._registry.get(request.parameters["id"])
        status = container.record.status
        if status == "paused":
            raise Conflict(f"container {container.id} is paused, unpause the container before attach")
        if status == "restarting":
            raise Conflict(f"container {container.id} is restarting, wait until the container is running")
        stdin, stdout, stderr = (request.flag(name) for name in ("stdin", "stdout", "stderr"))
        wants_logs, wants_stream = request.flag("logs"), request.flag("stream")
        keys = DetachKeys(request.text("detachKeys")) if container.tty and stdin else None
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        # Without a log to send first, be attached before the client learns that it is: it starts the container then.
        pending = self._life.attach(container, **streams) if wants_stream and not wants_logs else None

        def run(client: socket.socket, typed: bytes) -> None:
            now = pending
            try:
                if wants_logs and (stdout or stderr):
                    Headers(client).wait()
                    for data in logs.Reading(container, logs.LogRequest(stdout=stdout, stderr=stderr)).chunks():
                        client.sendall(data)
                if wants_stream:
                    now = now or self._life.attach(container, **streams)
                    waiting = now
                    request.hangup.then(lambda: self._life.forget(container, waiting))
                    waiting.ready.wait()
                    if waiting.stream is not None:
                        with waiting.stream as stream:
                            pump(client, stream, typed, keys)
            finally:
                finish(client)

        return Hijack(run, stream_type(request, container.tty))

    def _exec_create(self, request: Request) -> Answer:
        asked = folded(request.json_object(), _EXEC_FIELDS)
        one = self._execs.create(self._registry.get(request.parameters["id"]), asked)
        return json_response({"Id": one.id}, 201)

    def _exec_start(self, request: Request) -> Answer:
        one = self._execs.get(request.parameters["id"])
        body = request.json_object()
        console = _console(body.get("ConsoleSize"), tty=bool(body.get("Tty")) or one.tty)
        if body.get("Detach"):
            self._execs.start(one, console=console, attach=False)
            return Response(200)
        framed = not body.get("Tty")  # of this request, not of the exec: a terminal's output is framed without it
        keys = DetachKeys(one.detach_keys) if one.tty and one.stdin else None

        def run(client: socket.socket, typed: bytes) -> None:
            try:
                # What keeps it from starting is told in the stream, as dockerd tells it: clients then ask for the code.
                try:
                    stream = self._execs.start(one, console=console)
                except DockmagicError as error:
                    tell(client, f"{error}\r\n", framed=framed)
                    return
                assert stream is not None
                with stream:
                    if pump(client, stream, typed, keys, frame=framed and one.tty):
                        one.ended.wait(5)  # a client asks for the exit code as soon as the output ends
            finally:
                finish(client)

        return Hijack(run, stream_type(request, not framed))

    def _exec_resize(self, request: Request) -> Answer:
        rows, columns = size(request)
        self._execs.resize(self._execs.get(request.parameters["id"]), rows, columns)
        return json_response({})

    def _exec_inspect(self, request: Request) -> Answer:
        return json_response(self._execs.get(request.parameters["id"]).shape())


def _console(asked: Any, *, tty: bool) -> tuple[int, int]:
    if not asked:
        return (0, 0)
    if not tty:
        raise InvalidParameter("console size is only supported when TTY is enabled")
    return int(asked[0]), int(asked[1])
