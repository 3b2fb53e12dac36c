"""/_ping, /version, /info, /events, /system/df, /auth."""

from __future__ import annotations

from dockmagic.engine import clock
from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, Sink, Stream, encode_json, json_response
from dockmagic.engine.http.router import Route
from dockmagic.engine.routes import versions
from dockmagic.engine.routes.ping import ping
from dockmagic.engine.services.diskusage import DiskUsage
from dockmagic.engine.services.events import Events
from dockmagic.engine.services.system import System


class SystemRoutes:
    """The routes of the engine itself."""

    def __init__(self, system: System, events: Events, usage: DiskUsage) -> None:
        self._system = system
        self._events = events
        self._usage = usage

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/_ping", ping),
            Route("GET", "/version", self._version),
            Route("GET", "/info", self._info),
            Route("GET", "/events", self._follow),
            Route("GET", "/system/df", self._df),
        ]

    def _version(self, request: Request) -> Answer:
        return json_response(self._system.version())

    def _info(self, request: Request) -> Answer:
        return json_response(versions.info(self._system.info(), request.version))

    def _df(self, request: Request) -> Answer:
        return json_response(versions.disk_usage(self._usage.shape(request.query.get("type")), request.version))

    def _follow(self, request: Request) -> Answer:
        since = clock.parse_moment(request.text("since"), "since")
        until = clock.parse_moment(request.text("until"), "until")
        filters = request.filters()
        listener = self._events.subscribe()

        def produce(sink: Sink) -> None:
            request.hangup.then(listener.close)
            try:
                for event in self._events.follow(listener, filters, since, until):
                    sink.write(encode_json(event))
            finally:
                self._events.unsubscribe(listener)

        return Stream(produce)
