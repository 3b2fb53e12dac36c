"""Getting images from elsewhere: pull (with stand-ins where no registry is in reach), push, import, load, save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic.engine.services.events import Events
from dockmagic.errors import DockmagicError, InvalidParameter, NotFound

if TYPE_CHECKING:
    from dockmagic.images.registry import Registry
    from dockmagic.images.store import Store

Progress = Callable[[Mapping[str, Any]], None]
Auth = Mapping[str, Any] | None


class Transfers:
    """Images in and out of the store. ``registry`` is made when first needed: its imports are slow."""

    def __init__(self, store: Store, registry: Callable[[], Registry], events: Events) -> None:
        self._store = store
        self._registry = registry
        self._events = events

    def pull(self, name: str, platform: str, auth: Auth, progress: Progress, *, all_tags: bool = False) -> None:
        """Pull ``name``; where no registry is in reach, make a stand-in of that name if there is one."""
        from dockmagic.images.reference import Reference
        from dockmagic.images.standins.fallback import pull_or_make

        reference = Reference.parse(name)
        image = pull_or_make(
            self._registry(), self._store, reference, platform or None, auth, progress, all_tags=all_tags
        )
        self._store.chain(image)  # unpacked now, so that the first container does not wait for it
        self._events.publish("image", "pull", reference.familiar, {"name": reference.familiar_name})

    def push(self, name: str, tag: str, auth: Auth, progress: Progress) -> None:
        """Raises DockmagicError, after the first message as dockerd does, when there is no such image here."""
        from dockmagic.images.reference import Reference

        reference = Reference.parse(f"{name}:{tag}" if tag else name)
        try:
            self._store.resolve(str(reference))
        except NotFound:
            progress({"status": f"The push refers to repository [{reference.name}]"})
            message = f"An image does not exist locally with the tag: {reference.familiar_name}"
            raise DockmagicError(message) from None
        self._registry().push(reference, auth, progress, all_tags=not tag)
        self._events.publish("image", "push", reference.familiar, {"name": reference.familiar_name})

    def distribution(self, name: str, auth: Auth) -> dict[str, Any]:
        """The API's DistributionInspect."""
        from dockmagic.images.reference import Reference

        found: dict[str, Any] = self._registry().distribution_inspect(Reference.parse(name), auth)
        return found

    def login(self, auth: Mapping[str, Any]) -> dict[str, str]:
        """The API's SystemAuthResponse. Raises Unauthorized."""
        return self._registry().login(auth)

    def load(self, source: BinaryIO, progress: Progress) -> None:
        from dockmagic.images import archive

        archive.load(self._store, source, progress)
        self._events.publish("image", "load", "", {})

    def save(self, names: list[str]) -> Iterator[bytes]:
        """A docker archive of the images. Raises NotFound before the first bytes."""
        from dockmagic.images import archive

        chunks = archive.save(self._store, names)
        for name in names:
            self._events.publish("image", "save", name, {"name": name})
        return chunks

    def import_from(
        self,
        source: str,
        body: BinaryIO,
        name: str,
        *,
        changes: list[str],
        message: str,
        platform: str,
        progress: Progress,
    ) -> None:
        """docker import: a tar from the body (``-``) or a URL becomes an image of one layer."""
        from dockmagic.builder.config import ImageConfig
        from dockmagic.engine.services.changes import apply
        from dockmagic.images import archive

        made = ImageConfig({"config": {}})
        apply(made, changes)
        with body if source == "-" else _download(source, progress) as stream:
            image = archive.import_tar(
                self._store, stream, name, config=made.config, message=message, platform=platform
            )
        progress({"status": image.id})
        self._events.publish("image", "import", image.id, {"name": name or image.id})

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Raises NotFound, InvalidParameter."""
        from dockmagic.images.reference import Reference

        image = self._store.get(name)
        target = Reference.parse(f"{repository}:{tag}" if tag else repository)
        if target.digest:
            raise InvalidParameter("refusing to create a tag with a digest reference")
        self._store.tag(image.id, target)
        self._events.publish("image", "tag", image.id, {"name": target.familiar})


def _download(url: str, progress: Progress) -> BinaryIO:
    import urllib.request

    if not url.startswith(("http://", "https://")):
        url = f"http://{url}"
    progress({"status": f"Downloading from {url}"})
    try:
        opened: BinaryIO = urllib.request.urlopen(url, timeout=60)
    except OSError as error:
        raise DockmagicError(f"failed to download {url}: {error}") from None
    return opened
