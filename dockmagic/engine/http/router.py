"""Which route answers a path. Version prefixes are cut off and checked here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dockmagic.engine.http.request import Request, unquote_path
from dockmagic.engine.http.response import Answer
from dockmagic.errors import InvalidParameter, NotFound

Handler = Callable[[Request], Answer]
_DOUBLED = re.compile(r"//+")
_VERSIONED = re.compile(r"/v(\d+)\.(\d+)(/.*)")


@dataclass(frozen=True)
class Route:
    """``path`` has ``{name}`` for one segment and ``{name*}`` for several (image names have slashes)."""

    method: str
    path: str
    handler: Handler


class Router:
    """The table of routes between two API versions."""

    def __init__(self, routes: Iterable[Route], *, newest: tuple[int, int], oldest: tuple[int, int]) -> None:
        self._newest = newest
        self._oldest = oldest
        self._table: dict[tuple[str, str], list[tuple[re.Pattern[str], Handler]]] = {}
        for route in routes:
            key = (route.method, route.path.split("/", 2)[1])
            self._table.setdefault(key, []).append((_pattern(route.path), route.handler))

    def find(self, request: Request) -> Handler:
        """The route for ``request``, whose version and path parameters are set. Raises NotFound, InvalidParameter."""
        path = _DOUBLED.sub("/", request.path)  # docker-py puts names that begin with a slash into paths
        versioned = _VERSIONED.fullmatch(path)
        request.version = self._newest
        if versioned:
            request.version = (int(versioned[1]), int(versioned[2]))
            path = versioned[3]
            self._check(request.version)
        method = "GET" if request.method == "HEAD" and not self._has("HEAD", path) else request.method
        for pattern, handler in self._table.get((method, path.split("/", 2)[1]), ()):
            match = pattern.fullmatch(path)
            if match:
                request.parameters = {name: unquote_path(value) for name, value in match.groupdict().items()}
                return handler
        raise NotFound("page not found")

    def _has(self, method: str, path: str) -> bool:
        candidates = self._table.get((method, path.split("/", 2)[1]), ())
        return any(pattern.fullmatch(path) for pattern, _ in candidates)

    def _check(self, version: tuple[int, int]) -> None:
        text = _dotted(version)
        if version < self._oldest:
            raise InvalidParameter(
                f"client version {text} is too old. Minimum supported API version is {_dotted(self._oldest)}, "
                "please upgrade your client to a newer version"
            )
        if version > self._newest:
            raise InvalidParameter(
                f"client version {text} is too new. Maximum supported API version is {_dotted(self._newest)}"
            )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _pattern(path: str) -> re.Pattern[str]:
    text = re.escape(path).replace(r"\{", "{").replace(r"\}", "}").replace(r"\*", "*")
    text = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", text)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text))
