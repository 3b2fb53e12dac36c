"""/containers: list, create, inspect, life, logs, wait, removal."""

from __future__ import annotations

from dockmagic.engine import clock
from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, Sink, Stream, encode_json, json_response, no_content
from dockmagic.engine.http.router import Route
from dockmagic.engine.routes import versions
from dockmagic.engine.services.containers import inspect, logs
from dockmagic.engine.services.containers.create import Maker
from dockmagic.engine.services.containers.life import Life
from dockmagic.engine.services.containers.listing import Listing
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.containers.sizes import Sizes
from dockmagic.engine.services.containers.update import Updater
from dockmagic.engine.services.containers.waiting import Waiter
from dockmagic.engine.services.networks.links import Links
from dockmagic.errors import InvalidParameter, NotFound


class ContainerRoutes:
    """The routes of the noun."""

    def __init__(
        self,
        registry: ContainerRegistry,
        maker: Maker,
        life: Life,
        listing: Listing,
        sizes: Sizes,
        updater: Updater,
        links: Links,
    ) -> None:
        self._registry = registry
        self._maker = maker
        self._life = life
        self._listing = listing
        self._sizes = sizes
        self._updater = updater
        self._links = links

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/containers/json", self._list),
            Route("POST", "/containers/create", self._create),
            Route("POST", "/containers/prune", self._prune),
            Route("GET", "/containers/{id}/json", self._inspect),
            Route("GET", "/containers/{id}/logs", self._logs),
            Route("POST", "/containers/{id}/start", self._start),
            Route("POST", "/containers/{id}/stop", self._stop),
            Route("POST", "/containers/{id}/restart", self._restart),
            Route("POST", "/containers/{id}/kill", self._kill),
            Route("POST", "/containers/{id}/pause", self._pause),
            Route("POST", "/containers/{id}/unpause", self._unpause),
            Route("POST", "/containers/{id}/rename", self._rename),
            Route("POST", "/containers/{id}/update", self._update),
            Route("POST", "/containers/{id}/resize", self._resize),
            Route("POST", "/containers/{id}/wait", self._wait),
            Route("DELETE", "/containers/{id*}", self._remove),
        ]

    def _find(self, request: Request) -> Container:
        return self._registry.get(request.parameters["id"])

    def _list(self, request: Request) -> Answer:
        found = self._listing.list(
            all=request.flag("all"),
            limit=request.number("limit", -1),
            size=request.flag("size"),
            filters=request.filters(),
        )
        return json_response(versions.containers(found, request.version))

    def _create(self, request: Request) -> Answer:
        asked = versions.create(request.json_object(), request.version)
        created = self._maker.create(asked, request.text("name"), request.text("platform"))
        return json_response({"Id": created.id, "Warnings": created.warnings}, 201)

    def _inspect(self, request: Request) -> Answer:
        container = self._find(request)
        sizes = self._sizes.of(container) if request.flag("size") else None
        with container.lock:
            links = self._links.shape(container)
            shape = inspect.shape(container, self._sizes.driver, sizes, links)
            return json_response(versions.container(shape, request.version))

    def _logs(self, request: Request) -> Answer:
        container = self._find(request)
        tail = request.text("tail", "all")
        wanted = logs.LogRequest(
            stdout=request.flag("stdout"),
            stderr=request.flag("stderr"),
            follow=request.flag("follow"),
            since=clock.parse_moment(request.text("since"), "since"),
            until=clock.parse_moment(request.text("until"), "until"),
            tail=int(tail) if tail.isdecimal() else -1,
            timestamps=request.flag("timestamps"),
            details=request.flag("details"),
        )
        logs.check(container, wanted)

        reading = logs.Reading(container, wanted)

        def produce(sink: Sink) -> None:
            for data in reading.chunks(request.hangup.descriptor):
                sink.write(data)

        return Stream(produce, stream_type(request, container.tty))

    def _start(self, request: Request) -> Answer:
        self._life.start(self._find(request))
        return no_content()

    def _stop(self, request: Request) -> Answer:
        self._life.stop(self._find(request), request.text("signal"), _timeout(request))
        return no_content()

    def _restart(self, request: Request) -> Answer:
        self._life.restart(self._find(request), request.text("signal"), _timeout(request))
        return no_content()

    def _kill(self, request: Request) -> Answer:
        try:
            container = self._find(request)
        except NotFound as error:
            raise NotFound(f"cannot kill container: {request.parameters['id']}: {error}") from None
        self._life.kill(container, request.text("signal"))
        return no_content()

    def _pause(self, request: Request) -> Answer:
        self._life.pause(self._find(request))
        return no_content()

    def _unpause(self, request: Request) -> Answer:
        self._life.unpause(self._find(request))
        return no_content()

    def _rename(self, request: Request) -> Answer:
        self._maker.rename(self._find(request), request.text("name"))
        return no_content()

    def _update(self, request: Request) -> Answer:
        return json_response({"Warnings": self._updater.update(self._find(request), request.json_object())})

    def _resize(self, request: Request) -> Answer:
        rows, columns = size(request)
        self._life.resize(self._find(request), rows, columns)
        return json_response({})

    def _wait(self, request: Request) -> Answer:
        waiter = Waiter(self._find(request), request.text("condition") or "not-running")

        def produce(sink: Sink) -> None:
            request.hangup.then(waiter.cancel)
            sink.write(encode_json(waiter.result()))

        return Stream(produce)

    def _remove(self, request: Request) -> Answer:
        if request.flag("link"):
            self._links.remove(request.parameters["id"])
            return no_content()
        self._maker.remove(self._find(request), volumes=request.flag("v"), force=request.flag("force"))
        return no_content()

    def _prune(self, request: Request) -> Answer:
        removed, freed = self._maker.prune(request.filters())
        return json_response({"ContainersDeleted": removed or None, "SpaceReclaimed": freed})


def stream_type(request: Request, tty: bool) -> str:
    """The media type of a container's output: from 1.42 on it tells frames from raw bytes."""
    framed = request.version >= (1, 42) and not tty
    return "application/vnd.docker.multiplexed-stream" if framed else "application/vnd.docker.raw-stream"


def size(request: Request) -> tuple[int, int]:
    """(rows, columns) of a resize call. Raises InvalidParameter."""
    rows, columns = request.number("h", -1), request.number("w", -1)
    if rows < 0 or columns < 0:
        raise InvalidParameter(
            "invalid resize height: invalid syntax" if rows < 0 else "invalid resize width: invalid syntax"
        )
    return rows, columns


def _timeout(request: Request) -> int | None:
    return request.number("t") if request.text("t") else None
