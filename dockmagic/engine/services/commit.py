"""docker commit: what a container wrote becomes an image."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dockmagic.engine import clock
from dockmagic.engine.services.changes import apply
from dockmagic.engine.services.containers import config as configs
from dockmagic.engine.services.containers.config import command
from dockmagic.engine.services.containers.life import Life
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.events import Events
from dockmagic.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic.images.store import Store

_INHERITED = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "StopTimeout",
    "Healthcheck", "OnBuild", "Shell",
)  # fmt: skip


class Committer:
    """Makes images of containers."""

    def __init__(self, registry: ContainerRegistry, store: Store, life: Life, events: Events) -> None:
        self._registry = registry
        self._store = store
        self._life = life
        self._events = events

    def commit(
        self,
        reference: str,
        *,
        repository: str,
        tag: str,
        author: str,
        comment: str,
        changes: Sequence[str],
        pause: bool,
        config: Mapping[str, Any] | None,
    ) -> str:
        """The new image's id. Raises NotFound, InvalidParameter."""
        from dockmagic.images.reference import Reference

        container = self._registry.get(reference)
        name = Reference.parse(f"{repository}:{tag}" if tag else repository) if repository else None
        document = self._document(container, config or {}, changes)
        paused = pause and container.record.status == "running" and self._try_pause(container)
        try:
            layer = self._store.snapshots.diff(container.id)
        finally:
            if paused:
                with contextlib.suppress(DockmagicError):  # it ended as it was paused
                    self._life.unpause(container)
        parent = self._store.get(container.record.image_id)
        layers = [*parent.layers, *([layer] if layer else [])]
        document["created"] = clock.now()
        document["author"] = author
        document["container"] = container.id
        document["container_config"] = configs.shape(container.record.config)
        document["rootfs"] = {"type": "layers", "diff_ids": [one.diff_id for one in layers]}
        entry = {
            "created": document["created"],
            "created_by": " ".join(command(container.record.config)),
            "comment": comment,
        }
        if author:
            entry["author"] = author
        document["history"] = [
            *(parent.config.get("history") or []),
            entry if layer else {**entry, "empty_layer": True},
        ]
        image = self._store.add(json.dumps(document).encode(), layers, parent=parent.id)
        if name is not None:
            self._store.tag(image.id, name)
        attributes = container.attributes(comment=comment, imageID=image.id, imageRef=name.familiar if name else "")
        self._events.publish("container", "commit", container.id, attributes)
        return image.id

    def _try_pause(self, container: Container) -> bool:
        try:
            self._life.pause(container)
        except DockmagicError:  # a tier that can't pause commits what it finds, as --pause=false does
            return False
        return True

    def _document(self, container: Container, override: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
        from dockmagic.builder.config import ImageConfig

        parent = self._store.get(container.record.image_id)
        own = container.record.config
        base = {name: own[name] for name in _INHERITED if own.get(name) is not None}
        base |= {name: override[name] for name in _INHERITED if override.get(name)}
        made = ImageConfig({**parent.config, "config": base})
        apply(made, changes)
        return made.document
