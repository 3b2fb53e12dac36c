"""/networks."""

from __future__ import annotations

from typing import Any

from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, Response, json_response, no_content
from dockmagic.engine.http.router import Route
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.networks.endpoints import Endpoints
from dockmagic.engine.services.networks.record import Network
from dockmagic.engine.services.networks.registry import NetworkRegistry


class NetworkRoutes:
    """The routes of the noun."""

    def __init__(self, networks: NetworkRegistry, endpoints: Endpoints, containers: ContainerRegistry) -> None:
        self._networks = networks
        self._joining = endpoints
        self._containers = containers

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/networks", self._list),
            Route("POST", "/networks/create", self._create),
            Route("POST", "/networks/prune", self._prune),
            Route("GET", "/networks/{id}", self._inspect),
            Route("POST", "/networks/{id}/connect", self._connect),
            Route("POST", "/networks/{id}/disconnect", self._disconnect),
            Route("DELETE", "/networks/{id}", self._remove),
        ]

    def _list(self, request: Request) -> Answer:
        found = self._networks.matching(request.filters(), lambda network: bool(self._members(network)))
        # Up to 1.27 the list told who is on each network (API history, v1.28)
        old = request.version < (1, 28)
        return json_response([network.shape(self._endpoints(network) if old else None) for network in found])

    def _create(self, request: Request) -> Answer:
        network = self._networks.create(request.json_object())
        return json_response({"Id": network.id, "Warning": ""}, 201)

    def _inspect(self, request: Request) -> Answer:
        network = self._networks.get(request.parameters["id"])
        return json_response(network.shape(self._endpoints(network)))

    def _connect(self, request: Request) -> Answer:
        body = request.json_object()
        container = self._containers.get(body.get("Container") or "")
        self._joining.connect(request.parameters["id"], container, body.get("EndpointConfig") or {})
        self._containers.save(container)
        return Response(200)

    def _disconnect(self, request: Request) -> Answer:
        body = request.json_object()
        container = self._containers.get(body.get("Container") or "")
        self._joining.disconnect(request.parameters["id"], container)
        self._containers.save(container)
        return Response(200)

    def _remove(self, request: Request) -> Answer:
        network = self._networks.get(request.parameters["id"])
        self._networks.remove(network.id, self._members(network))
        return no_content()

    def _prune(self, request: Request) -> Answer:
        removed = self._networks.prune(request.filters(), lambda network: bool(self._members(network, all=True)))
        return json_response({"NetworksDeleted": removed or None})

    def _members(self, network: Network, *, all: bool = False) -> list[Container]:
        return [c for c in self._containers.all() if network.name in c.record.endpoints and (all or c.running)]

    def _endpoints(self, network: Network) -> dict[str, Any]:
        shapes = {}
        for container in self._members(network):
            endpoint = container.record.endpoints[network.name]
            four, six = endpoint.get("IPAddress") or "", endpoint.get("GlobalIPv6Address") or ""
            shapes[container.id] = {
                "Name": container.name,
                "EndpointID": endpoint.get("EndpointID") or "",
                "MacAddress": endpoint.get("MacAddress") or "",
                "IPv4Address": f"{four}/{endpoint.get('IPPrefixLen')}" if four else "",
                "IPv6Address": f"{six}/{endpoint.get('GlobalIPv6PrefixLen')}" if six else "",
            }
        return shapes
