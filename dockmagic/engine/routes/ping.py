"""/_ping: the first thing every client asks, answered before the rest of the engine is there."""

from __future__ import annotations

import dockmagic
from dockmagic.engine.api import NEWEST, OLDEST, dotted
from dockmagic.engine.http.request import Request
from dockmagic.engine.http.response import Answer, Response
from dockmagic.engine.http.router import Route, Router

HEADERS = {
    "Api-Version": dotted(NEWEST),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Builder-Version": "2",
    "Swarm": "inactive",
    "Server": f"dockmagic/{dockmagic.__version__} (linux)",
}
"""What goes with every answer of the engine."""
_NOT_CACHED = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}


def ping(request: Request) -> Answer:
    return Response(200, b"OK", {"Content-Type": "text/plain; charset=utf-8", **_NOT_CACHED})


def early() -> Router:
    """The routes that need nothing."""
    return Router([Route("GET", "/_ping", ping)], newest=NEWEST, oldest=OLDEST)
