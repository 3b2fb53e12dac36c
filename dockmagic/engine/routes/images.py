"""/images, /distribution, /auth, /commit."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import (
    Answer,
    JsonMessages,
    Response,
    Sink,
    Stream,
    json_response,
    stream_of,
)
from dockmagic.engine.http.router import Route
from dockmagic.engine.routes import versions
from dockmagic.engine.services.commit import Committer
from dockmagic.engine.services.images import Images
from dockmagic.engine.services.pulling import Auth, Transfers
from dockmagic.errors import InvalidParameter


class ImageRoutes:
    """The routes of the noun."""

    def __init__(self, images: Images, transfers: Transfers, committer: Committer) -> None:
        self._images = images
        self._transfers = transfers
        self._committer = committer

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/images/json", self._list),
            Route("POST", "/images/create", self._create),
            Route("POST", "/images/load", self._load),
            Route("GET", "/images/get", self._get),
            Route("GET", "/images/search", self._search),
            Route("POST", "/images/prune", self._prune),
            Route("GET", "/images/{name*}/json", self._inspect),
            Route("GET", "/images/{name*}/history", self._history),
            Route("GET", "/images/{name*}/get", self._get),
            Route("POST", "/images/{name*}/tag", self._tag),
            Route("POST", "/images/{name*}/push", self._push),
            Route("DELETE", "/images/{name*}", self._delete),
            Route("GET", "/distribution/{name*}/json", self._distribution),
            Route("POST", "/auth", self._auth),
            Route("POST", "/commit", self._commit),
        ]

    def _list(self, request: Request) -> Answer:
        filters = request.filters()
        if request.text("filter"):  # before 1.25
            filters["reference"] = [request.text("filter")]
        shown = self._images.matching(filters, all=request.flag("all"), old_style=request.version < (1, 43))
        if request.flag("shared-size"):
            shared = {image["Id"]: image["SharedSize"] for image in self._images.summaries()}
            shown = [{**image, "SharedSize": shared.get(image["Id"], 0)} for image in shown]
        return json_response(versions.images(shown, request.version))

    def _create(self, request: Request) -> Answer:
        source, name, tag = request.text("fromSrc"), request.text("fromImage"), request.text("tag")
        platform = request.text("platform")
        auth = registry_auth(request)
        if not source and not name:
            raise InvalidParameter("either 'fromImage' or 'fromSrc' must be specified")

        def pull(sink: Sink) -> None:
            all_tags = not tag and ":" not in name.rpartition("/")[2] and "@" not in name
            self._transfers.pull(_joined(name, tag), platform, auth, JsonMessages(sink), all_tags=all_tags)

        def import_(sink: Sink) -> None:
            repository = request.text("repo")
            self._transfers.import_from(
                source,
                cast(Any, request.body),
                _joined(repository, tag) if repository else "",
                changes=request.query.get("changes", []),
                message=request.text("message"),
                platform=platform,
                progress=JsonMessages(sink),
            )

        return Stream(import_ if source else pull, lazy=True)

    def _load(self, request: Request) -> Answer:
        quiet = request.flag("quiet")

        def load(sink: Sink) -> None:
            messages = JsonMessages(sink)

            def tell(message: Any) -> None:
                if not (quiet and "progressDetail" in message):
                    messages(message)

            self._transfers.load(cast(Any, request.body), tell)

        return Stream(load)  # what is wrong with an archive is told in the stream, as dockerd does

    def _get(self, request: Request) -> Answer:
        names = request.query.get("names") or [request.parameters.get("name", "")]
        names = [name for value in names for name in value.split(",") if name]
        if not names:
            raise InvalidParameter("no images to save: names is empty")
        for name in names:
            self._check_platform(request, name, (1, 48))
        return stream_of(self._transfers.save(names), "application/x-tar")

    def _search(self, request: Request) -> Answer:
        if not request.text("term"):
            raise InvalidParameter("invalid search: term is empty")
        from dockmagic.engine.services.search import search

        return json_response(search(request.text("term"), request.number("limit", 25), request.filters()))

    def _inspect(self, request: Request) -> Answer:
        name = request.parameters["name"]
        if request.flag("manifests") and request.text("platform") and request.version >= (1, 49):
            raise InvalidParameter("conflicting options: manifests and platform options cannot both be set")
        self._check_platform(request, name, (1, 49))
        return json_response(versions.image(self._images.inspect(name), request.version))

    def _check_platform(self, request: Request, name: str, since: tuple[int, int]) -> None:
        """The parameter ``platform`` (OCI, as JSON) names the image's. Raises InvalidParameter, NotFound."""
        text = request.text("platform")
        if not text or request.version < since:
            return
        try:
            wanted = json.loads(text)
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict):
            raise InvalidParameter(f"failed to parse platform: {text}")
        if not wanted.get("os") or not wanted.get("architecture"):
            raise InvalidParameter("both os and architecture must be provided")
        self._images.require_platform(name, wanted)

    def _history(self, request: Request) -> Answer:
        self._check_platform(request, request.parameters["name"], (1, 48))
        return json_response(self._images.history(request.parameters["name"]))

    def _tag(self, request: Request) -> Answer:
        self._transfers.tag(request.parameters["name"], request.text("repo"), request.text("tag"))
        return Response(201)

    def _push(self, request: Request) -> Answer:
        name, tag = request.parameters["name"], request.text("tag")
        auth = registry_auth(request)
        if request.text("platform"):
            self._check_platform(request, _joined(name, tag), (1, 46))

        def push(sink: Sink) -> None:
            self._transfers.push(name, tag, auth, JsonMessages(sink))

        return Stream(push, lazy=True)

    def _delete(self, request: Request) -> Answer:
        done = self._images.delete(
            request.parameters["name"], force=request.flag("force"), prune=not request.flag("noprune")
        )
        return json_response(done)

    def _prune(self, request: Request) -> Answer:
        done, freed = self._images.prune(request.filters())
        return json_response({"ImagesDeleted": done or None, "SpaceReclaimed": freed})

    def _distribution(self, request: Request) -> Answer:
        return json_response(self._transfers.distribution(request.parameters["name"], registry_auth(request)))

    def _auth(self, request: Request) -> Answer:
        return json_response(self._transfers.login(request.json_object()))

    def _commit(self, request: Request) -> Answer:
        body = request.json() if request.has_body() else None
        id = self._committer.commit(
            request.text("container"),
            repository=request.text("repo"),
            tag=request.text("tag"),
            author=request.text("author"),
            comment=request.text("comment"),
            changes=request.query.get("changes", []),
            pause=request.flag("pause", True),
            config=body,
        )
        return json_response({"Id": id}, 201)


def registry_auth(request: Request) -> Auth:
    """The credentials of X-Registry-Auth, or None. Raises InvalidParameter."""
    text = request.header("x-registry-auth")
    if not text:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"{}")
    except ValueError:
        raise InvalidParameter("invalid X-Registry-Auth header: it must be base64url-encoded JSON") from None
    return decoded if isinstance(decoded, dict) and decoded else None


def _joined(name: str, tag: str) -> str:
    if not tag:
        return name
    return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
