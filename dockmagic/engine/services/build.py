"""Builds: the builder's progress told as the classic stream or as BuildKit's trace."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dockmagic.engine.filters import Filters
from dockmagic.engine.services.events import Events
from dockmagic.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from dockmagic.builder.build import Builder
    from dockmagic.builder.request import BuildRequest
    from dockmagic.trace import StatusResponse

Messages = Callable[[Mapping[str, Any]], None]


class Builds:
    """Runs builds; ``builder`` is made when first needed, ``image_of`` gives an image's id by its name ("": none)."""

    def __init__(self, builder: Callable[[], Builder], image_of: Callable[[str], str], events: Events) -> None:
        self._builder = builder
        self._image_of = image_of
        self._events = events
        self._lock = threading.Lock()
        self._running: dict[str, threading.Event] = {}

    def build(
        self,
        request: BuildRequest,
        messages: Messages,
        *,
        modern: bool,
        quiet: bool,
        id: str,
        when_gone: Callable[[Callable[[], None]], None],
    ) -> None:
        """Build and tell. Raises what keeps a build from beginning; later failures are told as Docker tells them."""
        cancelled = threading.Event()
        when_gone(cancelled.set)
        with self._lock:
            if id:
                self._running[id] = cancelled
        try:
            if modern:
                self._modern(request, messages, cancelled)
            else:
                self._classic(request, messages, cancelled, quiet=quiet)
        finally:
            with self._lock:
                self._running.pop(id, None)

    def cancel(self, id: str) -> None:
        """Raises NotFound."""
        with self._lock:
            if id not in self._running:
                raise NotFound(f"no build with the id {id} is running")
            self._running[id].set()

    def prune(self, filters: Filters, *, all: bool, keep: int) -> tuple[list[str], int]:
        """Empty the build cache: ids of what went, and bytes."""
        deleted, freed = self._builder().prune(filters=filters, all=all, keep=keep)
        return list(deleted), int(freed)

    def records(self) -> list[dict[str, Any]]:
        """The cache's records in the API's BuildCache shape."""
        return self._builder().records()

    def _modern(self, request: BuildRequest, messages: Messages, cancelled: threading.Event) -> None:
        from dockmagic.trace import encode

        def progress(status: StatusResponse) -> None:
            messages({"id": "moby.buildkit.trace", "aux": base64.b64encode(encode(status)).decode()})

        result = self._builder().build(request, progress, cancelled)
        if result.image_id:
            messages({"id": "moby.image.id", "aux": {"ID": result.image_id}})
            self._done(request, result.image_id)

    def _classic(self, request: BuildRequest, messages: Messages, cancelled: threading.Event, *, quiet: bool) -> None:
        from dockmagic.builder.request import BuildError
        from dockmagic.engine.services.steps import ClassicSteps

        def ignore(message: Mapping[str, Any]) -> None:
            pass

        steps = ClassicSteps(ignore if quiet else messages, self._image_of)
        request.on_dockerfile = steps.dockerfile
        if request.cache_from and not any(map(self._image_of, request.cache_from)):
            request.no_cache = True  # the classic builder has its cache from these images alone
        request.outputs = []  # the classic builder knows nothing but images
        try:
            result = self._builder().build(request, steps, cancelled)
        except BuildError as error:
            text, code = steps.failed(error)
            if not steps.begun:
                raise InvalidParameter(text) from error  # nothing was sent yet: an error's status can be
            messages({"errorDetail": {"code": code, "message": text} if code else {"message": text}, "error": text})
            return
        steps.finish(result.image_id)
        messages({"aux": {"ID": result.image_id}})
        if quiet:
            messages({"stream": f"{result.image_id}\n"})
            return
        for warning in result.warnings:
            messages({"stream": f"[Warning] {warning}\n"})
        messages({"stream": f"Successfully built {result.image_id.removeprefix('sha256:')[:12]}\n"})
        for tag in self._done(request, result.image_id):
            messages({"stream": f"Successfully tagged {tag}\n"})

    def _done(self, request: BuildRequest, image_id: str) -> list[str]:
        from dockmagic.builder.outputs import names as output_names
        from dockmagic.images.reference import Reference

        tags = request.tags or output_names(request.outputs)
        names = [Reference.parse(tag).familiar for tag in tags]
        for name in names:
            self._events.publish("image", "tag", image_id, {"name": name})
        return names
