"""POST /build, /build/prune, /build/cancel: the classic stream (version 1) and BuildKit's trace (version 2)."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, JsonMessages, Response, Sink, Stream, json_response
from dockmagic.engine.http.router import Route
from dockmagic.engine.services.build import Builds
from dockmagic.errors import InvalidParameter

if TYPE_CHECKING:
    from dockmagic.builder.request import BuildRequest


class BuildRoutes:
    """The routes of the noun."""

    def __init__(self, builds: Builds) -> None:
        self._builds = builds

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/build", self._build),
            Route("POST", "/build/prune", self._prune),
            Route("POST", "/build/cancel", self._cancel),
            Route("POST", "/session", self._session),
        ]

    def _build(self, request: Request) -> Answer:
        wanted = build_request(request)
        quiet = request.flag("q")
        modern = request.text("version", "1") == "2"
        id = request.text("buildid")

        def produce(sink: Sink) -> None:
            self._builds.build(
                wanted,
                JsonMessages(sink),
                modern=modern,
                quiet=quiet,
                id=id,
                when_gone=request.hangup.then,
            )

        return Stream(produce, lazy=True)

    def _prune(self, request: Request) -> Answer:
        deleted, freed = self._builds.prune(
            request.filters(), all=request.flag("all"), keep=request.number("keep-storage")
        )
        return json_response({"CachesDeleted": deleted or None, "SpaceReclaimed": freed})

    def _cancel(self, request: Request) -> Answer:
        if not request.text("id"):
            raise InvalidParameter("build ID not provided")
        self._builds.cancel(request.text("id"))
        return Response(204)

    def _session(self, request: Request) -> Answer:
        from dockmagic.errors import NotImplementedByEngine

        raise NotImplementedByEngine(
            "dockmagic's engine has no BuildKit sessions (gRPC): build with DOCKER_BUILDKIT=0, or by the API's "
            "/build?version=2 without a session"
        )


def build_request(request: Request) -> BuildRequest:
    """The query and headers of POST /build, decoded. Raises InvalidParameter."""
    from dockmagic.builder.request import BuildRequest

    remote = request.text("remote")
    wanted = BuildRequest(
        context=None if remote and remote != "client-session" else cast(Any, request.body),
        remote=remote,
        dockerfile=request.text("dockerfile") or "Dockerfile",
        tags=[tag for tag in request.query.get("t", []) if tag],
        build_args=_json(request, "buildargs", {}),
        labels=_json(request, "labels", {}),
        target=request.text("target"),
        platform=request.text("platform"),
        no_cache=request.flag("nocache"),
        pull=request.flag("pull"),
        extra_hosts=request.query.get("extrahosts", []),
        network=request.text("networkmode"),
        shm_size=request.number("shmsize"),
        memory=request.number("memory"),
        ulimits=_json(request, "ulimits", []),
        cache_from=_json(request, "cachefrom", []),
        outputs=_outputs(request),
        auth=_auths(request),
    )
    if remote == "client-session":
        raise InvalidParameter("a build whose context comes by a BuildKit session is not possible with this engine")
    if request.header("content-type").startswith("multipart/"):
        _fill(wanted, request)
    return wanted


def _fill(wanted: BuildRequest, request: Request) -> None:
    """A build with secrets, agents and named contexts in one body (builder/multipart.py)."""
    from dockmagic.builder.multipart import boundary_of, fill

    wanted.context = None
    fill(wanted, cast(Any, request.body), boundary_of(request.header("content-type")), Path(tempfile.gettempdir()))


def _json(request: Request, name: str, default: Any) -> Any:
    text = request.text(name)
    if not text:
        return default
    try:
        value = json.loads(text)
    except ValueError:
        raise InvalidParameter(f"error reading build {name}: invalid JSON") from None
    if value is None:
        return default
    if not isinstance(value, type(default)):
        raise InvalidParameter(f"error reading build {name}: unexpected JSON")
    return value


def _outputs(request: Request) -> list[dict[str, str]]:
    """One output, as dockerd takes it. Several come in a multipart body."""
    text = request.text("outputs")
    if not text:
        return []
    try:
        outputs = _decoded_outputs(json.loads(text))
    except ValueError as error:
        said = "unexpected end of JSON input" if isinstance(error, json.JSONDecodeError) else str(error)
        raise InvalidParameter(f"invalid outputs specified: {said}") from None
    if len(outputs) > 1:
        raise InvalidParameter("multiple outputs not supported")
    return outputs


def _decoded_outputs(value: Any) -> list[dict[str, str]]:
    """``[{"Type": …, "Attrs": {…}}]``. Raises ValueError with Go's words."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _no_go(value, "[]types.ImageBuildOutput")
    outputs = []
    for one in value:
        if not isinstance(one, dict):
            raise _no_go(one, "types.ImageBuildOutput")
        kind, attributes = one.get("Type") or "", one.get("Attrs") or {}
        if not isinstance(kind, str) or not isinstance(attributes, dict):
            raise ValueError("json: cannot unmarshal into Go struct field ImageBuildOutput")
        outputs.append({**{str(key): str(given) for key, given in attributes.items()}, "type": kind})
    return outputs


def _no_go(value: Any, wanted: str) -> ValueError:
    kinds = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return ValueError(f"json: cannot unmarshal {kinds.get(type(value), 'null')} into Go value of type {wanted}")


def _auths(request: Request) -> dict[str, Any]:
    text = request.header("x-registry-config")
    if not text:
        return {}
    try:
        decoded = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"{}")
    except ValueError:
        return {}  # as dockerd: credentials that can't be read are none
    return decoded if isinstance(decoded, dict) else {}
