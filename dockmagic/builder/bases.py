"""Base images: from the store, else from a registry; and the ``# syntax=`` directive."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dockmagic.builder.request import BuildError, BuildRequest
from dockmagic.builder.vertexes import Reporter, VertexHandle
from dockmagic.dockerfile.directives import detect_syntax
from dockmagic.errors import NotFound
from dockmagic.images.protocols import Image
from dockmagic.images.reference import Reference
from dockmagic.images.standins.fallback import pull_or_make
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.images.registry import Registry
    from dockmagic.images.store import Store

_BUILT_IN = ("docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream")


class BaseImages:
    """Finds images for one build, each once."""

    def __init__(self, store: Store, registry: Registry, request: BuildRequest, reporter: Reporter) -> None:
        self._store = store
        self._registry = registry
        self._request = request
        self._reporter = reporter
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Image] = {}

    def image(self, reference: Reference, platform: Platform | None, vertex: str) -> Image:
        """The image. Raises NotFound when there is none, and what the registry client raises."""
        key = (str(reference), platform.short if platform else "")
        with self._lock:
            if key not in self._found:
                handle = self._reporter.vertex(vertex)
                with handle.running():
                    self._found[key] = self._find(reference, platform, handle)
            return self._found[key]

    def _find(self, reference: Reference, platform: Platform | None, vertex: VertexHandle) -> Image:
        if not self._request.pull:
            local = self._local(reference, platform)
            if local is not None:
                return local
        auth = credentials(self._request.auth, reference.domain)
        wanted = platform.short if platform else None
        return pull_or_make(self._registry, self._store, reference, wanted, auth, _Pulling(vertex))

    def _local(self, reference: Reference, platform: Platform | None) -> Image | None:
        try:
            image = self._store.get(str(reference))
        except NotFound:
            return None
        if platform is not None:
            own = Platform.of(image.config)
            if (own.os, own.architecture) != (platform.os, platform.architecture):
                return None
        return image

    def check_syntax(self, text: str) -> None:
        """The frontend that a Dockerfile asks for is docker/dockerfile, which is built in. Raises BuildError."""
        directive = detect_syntax(text)
        words = directive.value.split() if directive else []
        if not words:
            return
        reference = Reference.parse(words[0])
        if reference.name in _BUILT_IN:
            return
        problem = f"failed to resolve source metadata for {reference}: {reference}: not found"
        try:
            self._find(reference, None, self._reporter.vertex(f"resolve image config for {reference}"))
        except NotFound as error:
            raise BuildError(problem, line=1) from error
        raise BuildError(
            f"the frontend {reference} can't be run here: dockmagic has docker/dockerfile built in", line=1
        )


def credentials(auth: Mapping[str, Any], domain: str) -> Any:
    """What X-Registry-Config has for a registry."""
    names = [domain, f"https://{domain}", f"https://{domain}/v1/"]
    if domain == "docker.io":
        names += ["https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"]
    return next((auth[name] for name in names if name in auth), None)


class _Pulling:
    """Docker's progress messages of a pull as statuses of a vertex."""

    def __init__(self, vertex: VertexHandle) -> None:
        self._vertex = vertex
        self._started = time.time()

    def __call__(self, message: Mapping[str, Any]) -> None:
        id = str(message.get("id") or "")
        status = str(message.get("status") or "")
        if not id or not status:
            if status and not status.startswith(("Status:", "Digest:")):
                self._vertex.log(f"{status}\n".encode())
            return
        detail = message.get("progressDetail") or {}
        done = status in {"Pull complete", "Already exists", "Download complete"}
        self._vertex.status(
            f"{id} {status.lower()}",
            int(detail.get("current") or 0),
            int(detail.get("total") or 0),
            started=self._started,
            completed=done,
        )
