"""Looking into containers: top, stats, changes, export."""

from __future__ import annotations

from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, Sink, Stream, encode_json, json_response, stream_of
from dockmagic.engine.http.router import Route
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.events import Events
from dockmagic.engine.services.processes import top
from dockmagic.engine.services.stats import Meter
from dockmagic.images.snapshots import LayerSnapshots


class LookingRoutes:
    """What containers do and did."""

    def __init__(self, registry: ContainerRegistry, snapshots: LayerSnapshots, events: Events) -> None:
        self._registry = registry
        self._snapshots = snapshots
        self._events = events

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/containers/{id}/top", self._top),
            Route("GET", "/containers/{id}/stats", self._stats),
            Route("GET", "/containers/{id}/changes", self._changes),
            Route("GET", "/containers/{id}/export", self._export),
        ]

    def _find(self, request: Request) -> Container:
        return self._registry.get(request.parameters["id"])

    def _top(self, request: Request) -> Answer:
        container = self._find(request)
        shown = top(container, request.text("ps_args") or "-ef")
        self._events.publish("container", "top", container.id, container.attributes())
        return json_response(shown)

    def _changes(self, request: Request) -> Answer:
        container = self._find(request)
        found = [{"Path": path, "Kind": kind} for kind, path in self._snapshots.changes(container.id)]
        return json_response(found or None)

    def _export(self, request: Request) -> Answer:
        container = self._find(request)
        self._events.publish("container", "export", container.id, container.attributes())
        return stream_of(self._snapshots.export(container.id), "application/octet-stream")

    def _stats(self, request: Request) -> Answer:
        container = self._find(request)
        meter = Meter(container)
        if request.flag("one-shot"):
            return json_response(meter.read())
        if not request.flag("stream", True):
            if container.running:
                meter.read()
                request.hangup.gone.wait(1.0)  # two readings, as dockerd takes them, so that rates can be told
            return json_response(meter.read())

        def produce(sink: Sink) -> None:
            while not container.removed:
                sink.write(encode_json(meter.read()))
                if request.hangup.gone.wait(1.0):
                    return

        return Stream(produce)
