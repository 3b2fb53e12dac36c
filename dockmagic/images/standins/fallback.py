"""Pull an image; where no registry is in reach, make the stand-in of that name, and say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dockmagic.images import standins
from dockmagic.images.reference import Reference

if TYPE_CHECKING:
    from dockmagic.images.registry import Registry
    from dockmagic.images.store import Store, StoredImage


def pull_or_make(
    registry: Registry,
    store: Store,
    reference: Reference,
    platform: str | None,
    auth: Mapping[str, Any] | None,
    progress: Callable[[dict[str, Any]], None],
    *,
    all_tags: bool = False,
) -> StoredImage:
    """The image of ``reference``. Raises what the registry client raises, for a name that can't be made here."""
    from dockmagic.images.registry.failures import RegistryUnreachable

    told = False

    def tell(message: dict[str, Any]) -> None:
        nonlocal told
        told = True
        progress(message)

    try:
        return registry.pull(reference, platform, auth, tell, all_tags=all_tags)
    except RegistryUnreachable:
        if told or not standins.covers(str(reference)):
            raise
    progress({"status": standins.why(str(reference))})
    image = standins.make(store, str(reference))
    progress({"status": f"Status: Made {reference.familiar} on this machine"})
    return image
