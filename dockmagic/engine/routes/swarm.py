"""Swarm, services, secrets, plugins: answered as by a dockerd that is in no swarm and has no plugins."""

from __future__ import annotations

from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, json_response
from dockmagic.engine.http.router import Route
from dockmagic.errors import NotFound, NotImplementedByEngine, Unavailable

_NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


class SwarmRoutes:
    """The routes of what this engine never has."""

    def routes(self) -> list[Route]:
        refused = []
        for noun in ("services", "nodes", "tasks", "secrets", "configs"):
            refused += [
                Route("GET", f"/{noun}", self._no_manager),
                Route("POST", f"/{noun}/create", self._no_manager),
                Route("GET", f"/{noun}/{{id}}", self._no_manager),
                Route("GET", f"/{noun}/{{id}}/logs", self._no_manager),
                Route("POST", f"/{noun}/{{id}}/update", self._no_manager),
                Route("DELETE", f"/{noun}/{{id}}", self._no_manager),
            ]
        return [
            *refused,
            Route("GET", "/swarm", self._no_manager),
            Route("GET", "/swarm/unlockkey", self._no_manager),
            Route("POST", "/swarm/update", self._no_manager),
            Route("POST", "/swarm/unlock", self._no_manager),
            Route("POST", "/swarm/leave", self._not_in_a_swarm),
            Route("POST", "/swarm/init", self._no_swarm),
            Route("POST", "/swarm/join", self._no_swarm),
            Route("GET", "/plugins", self._no_plugins),
            Route("GET", "/plugins/{name*}/json", self._no_such_plugin),
            Route("POST", "/plugins/pull", self._no_plugin_support),
            Route("GET", "/plugins/privileges", self._no_plugin_support),
            Route("POST", "/plugins/create", self._no_plugin_support),
            Route("POST", "/plugins/{name*}/{verb}", self._no_such_plugin),
            Route("DELETE", "/plugins/{name*}", self._no_such_plugin),
        ]

    def _no_manager(self, request: Request) -> Answer:
        raise Unavailable(_NOT_A_MANAGER)

    def _not_in_a_swarm(self, request: Request) -> Answer:
        raise Unavailable("This node is not part of a swarm")

    def _no_swarm(self, request: Request) -> Answer:
        raise NotImplementedByEngine("dockmagic's engine runs on one machine: it has no swarm mode")

    def _no_plugins(self, request: Request) -> Answer:
        return json_response([])

    def _no_such_plugin(self, request: Request) -> Answer:
        raise NotFound(f'plugin "{request.parameters["name"]}" not found')

    def _no_plugin_support(self, request: Request) -> Answer:
        raise NotImplementedByEngine("dockmagic's engine has no plugins")
