"""/volumes."""

from __future__ import annotations

from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, json_response, no_content
from dockmagic.engine.http.router import Route
from dockmagic.engine.services.volumes import Users, Volumes


class VolumeRoutes:
    """The routes of the noun. ``users`` tells which containers use a volume."""

    def __init__(self, volumes: Volumes, users: Users) -> None:
        self._volumes = volumes
        self._users = users

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/volumes", self._list),
            Route("POST", "/volumes/create", self._create),
            Route("POST", "/volumes/prune", self._prune),
            Route("GET", "/volumes/{name}", self._inspect),
            Route("DELETE", "/volumes/{name}", self._remove),
        ]

    def _list(self, request: Request) -> Answer:
        found = self._volumes.matching(request.filters(), self._users)
        return json_response({"Volumes": [volume.shape() for volume in found], "Warnings": None})

    def _create(self, request: Request) -> Answer:
        body = request.json_object()
        volume = self._volumes.create(
            body.get("Name") or "",
            driver=body.get("Driver") or "",
            options=body.get("DriverOpts"),
            labels=body.get("Labels"),
        )
        return json_response(volume.shape(), 201)

    def _inspect(self, request: Request) -> Answer:
        return json_response(self._volumes.get(request.parameters["name"]).shape())

    def _remove(self, request: Request) -> Answer:
        self._volumes.remove(request.parameters["name"], self._users, force=request.flag("force"))
        return no_content()

    def _prune(self, request: Request) -> Answer:
        # Up to 1.41 prune removed named volumes too (API history, v1.42)
        removed, freed = self._volumes.prune(request.filters(), self._users, named=request.version < (1, 42))
        return json_response({"VolumesDeleted": removed, "SpaceReclaimed": freed})
