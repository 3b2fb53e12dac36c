"""docker system df."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dockmagic.engine.services.containers import listing
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.containers.sizes import Sizes
from dockmagic.engine.services.volumes import Users, Volumes, folder_size
from dockmagic.errors import InvalidParameter

if TYPE_CHECKING:
    from dockmagic.engine.services.images import Images

_TYPES = {"container", "image", "volume", "build-cache"}


class DiskUsage:
    """Adds up what the root holds. ``build_cache`` gives the records of the builder's cache, in the API's shape."""

    def __init__(
        self,
        images: Images,
        registry: ContainerRegistry,
        sizes: Sizes,
        volumes: Volumes,
        users: Users,
        build_cache: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self._images = images
        self._registry = registry
        self._sizes = sizes
        self._volumes = volumes
        self._users = users
        self._build_cache = build_cache

    def shape(self, types: Sequence[str] | None) -> dict[str, Any]:
        """The API's SystemDataUsageResponse of the wanted types. Raises InvalidParameter."""
        for kind in types or ():
            if kind not in _TYPES:
                raise InvalidParameter(f"unknown object type: {kind}")
        wanted = set(types or _TYPES)
        answer: dict[str, Any] = {
            "LayersSize": None,
            "Images": None,
            "Containers": None,
            "Volumes": None,
            "BuildCache": None,
        }
        if "image" in wanted:
            answer["Images"] = self._images.summaries()
            answer["LayersSize"] = self._images.layers_size()
        if "container" in wanted:
            answer["Containers"] = [listing.summary(c, self._sizes.of(c)) for c in self._registry.all()]
        if "volume" in wanted:
            answer["Volumes"] = [
                {
                    **volume.shape(),
                    "UsageData": {"RefCount": len(self._users(volume.name)), "Size": folder_size(volume.mountpoint)},
                }
                for volume in self._volumes.matching({}, self._users)
            ]
        if "build-cache" in wanted:
            answer["BuildCache"] = self._build_cache()
        return answer
