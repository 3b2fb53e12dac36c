"""docker cp and docker export."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, Response, Stream, stream_of
from dockmagic.engine.http.router import Route
from dockmagic.engine.services.archive import Archives
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry

_STAT = "X-Docker-Container-Path-Stat"


class ArchiveRoutes:
    """Files in and out."""

    def __init__(self, registry: ContainerRegistry, archives: Archives) -> None:
        self._registry = registry
        self._archives = archives

    def routes(self) -> list[Route]:
        return [
            Route("HEAD", "/containers/{id}/archive", self._stat),
            Route("GET", "/containers/{id}/archive", self._get),
            Route("PUT", "/containers/{id}/archive", self._put),
        ]

    def _find(self, request: Request) -> Container:
        return self._registry.get(request.parameters["id"])

    def _stat(self, request: Request) -> Answer:
        return Response(200, b"", {_STAT: self._encoded(self._find(request), request.text("path"))})

    def _get(self, request: Request) -> Answer:
        container, path = self._find(request), request.text("path")
        header = self._encoded(container, path)
        stream = stream_of(self._archives.read(container, path), "application/x-tar")
        return Stream(stream.produce, "application/x-tar", headers={_STAT: header})

    def _put(self, request: Request) -> Answer:
        self._archives.write(
            self._find(request),
            request.text("path"),
            cast(Any, request.body),
            no_overwrite=request.flag("noOverwriteDirNonDir"),
            own_by_user=request.flag("copyUIDGID"),
        )
        return Response(200)

    def _encoded(self, container: Container, path: str) -> str:
        return base64.b64encode(json.dumps(self._archives.stat(container, path)).encode()).decode()
