"""The registries, as the engine and the builder call them: pull, push, inspect, log in."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from dockmagic.errors import DockmagicError, InvalidParameter, NotFound, Unauthorized
from dockmagic.images.reference import DEFAULT_DOMAIN, Reference
from dockmagic.images.registry.auth import Credentials
from dockmagic.images.registry.endpoints import HUB, Endpoint, Endpoints
from dockmagic.images.registry.failures import (
    MIRROR_HELP,
    OFFLINE_HELP,
    BrokenTransfer,
    RegistryError,
    RegistryUnreachable,
    for_pull,
    general,
)
from dockmagic.images.registry.progress import Progress, Report
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.images.registry.transport import Patience, Transport
    from dockmagic.images.store import Store, StoredImage

Auth = Mapping[str, Any] | None
_Result = TypeVar("_Result")
_HUB_NAMES = ("", HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")


class Registry:
    """Registries by the names of their images. ``mirrors`` and ``insecure``: None reads the environment.

    ``auth`` is everywhere docker's dictionary (X-Registry-Auth). No secret gets into a message or an error.
    """

    def __init__(
        self,
        store: Store,
        mirrors: Iterable[str] | None = None,
        insecure: Iterable[str] | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._store = store
        self._patience = patience
        if mirrors is None and insecure is None:
            self.endpoints = Endpoints.from_environment()
        else:
            self.endpoints = Endpoints(mirrors or (), insecure or ())

    def pull(
        self,
        reference: Reference | str,
        platform: Platform | str | None = None,
        auth: Auth = None,
        progress: Report | None = None,
        *,
        all_tags: bool = False,
    ) -> StoredImage:
        """Pull an image (of a name all tags), tag it and remember its digest; ``progress`` gets docker's messages.

        Raises RegistryUnreachable where nothing answers, NotFound, Unauthorized, TooManyRequests, and RegistryError
        for whatever else the registry says.
        """
        from dockmagic.images.registry.pull import Pull

        wanted = Platform.parse(platform) if isinstance(platform, str) and platform else platform or None
        asked = Reference.parse(reference) if isinstance(reference, str) else reference
        told = Progress(progress)

        def work(transport: Transport) -> StoredImage:
            one = Pull(self._store, transport, told)
            if not all_tags:
                return one.run(asked, wanted)
            images = [one.run(asked.with_tag(tag), wanted) for tag in self._tags(transport)]
            if not images:
                raise NotFound(f"repository {asked.familiar_name} has no tags")
            return images[-1]

        try:
            return self._pulling(asked, auth, work)
        except RegistryError as error:
            raise for_pull(error, asked.familiar, asked.familiar_name) from None

    def push(
        self,
        reference: Reference | str,
        auth: Auth = None,
        progress: Report | None = None,
        *,
        all_tags: bool = False,
    ) -> str:
        """Push the image tagged ``reference``, or all tags of that name; the digest of the last manifest.

        ``progress`` gets docker's messages. Raises NotFound when there is no such tag.
        """
        from dockmagic.images.registry.push import Push

        asked = Reference.parse(reference) if isinstance(reference, str) else reference
        if asked.digest:
            raise InvalidParameter("cannot push a digest reference")
        told = Progress(progress)
        told.say(f"The push refers to repository [{asked.name}]")
        wanted = self._tagged(asked, all_tags)
        endpoint = self.endpoints.pushing(asked.domain)[0]
        try:
            with self._transport(endpoint, asked.path, auth, "pull,push") as transport:
                for tagged in wanted:
                    digest = Push(self._store, transport, told).run(self._store.get(str(tagged)), tagged)
                return digest
        except RegistryError as error:
            raise general(error) from None

    def _tagged(self, asked: Reference, all_tags: bool) -> list[Reference]:
        """The tags to push, at least one. Raises NotFound with dockerd's words (distribution/push.go)."""
        known = [tagged for image in self._store.list() for tagged in image.references if tagged.name == asked.name]
        tags = sorted((tagged for tagged in known if tagged.tag), key=str)
        if not tags:
            raise NotFound(f"An image does not exist locally with the tag: {asked.familiar_name}")
        if all_tags:
            return tags
        if asked not in tags:
            raise NotFound(f"tag does not exist: {asked.familiar}")
        return [asked]

    def distribution_inspect(self, reference: Reference | str, auth: Auth = None) -> dict[str, Any]:
        """The API's DistributionInspect: the descriptor of a name in the registry, and its platforms."""
        asked = Reference.parse(reference) if isinstance(reference, str) else reference
        try:
            return self._pulling(asked, auth, lambda transport: _inspected(transport, asked))
        except RegistryError as error:
            raise general(error) from None

    def login(self, auth: Auth) -> dict[str, str]:
        """POST /auth: try the credentials at ``auth["serveraddress"]``. Raises Unauthorized."""
        address = str((auth or {}).get("serveraddress") or "")
        host = urlsplit(address if "://" in address else f"//{address}").netloc.rpartition("@")[2]
        endpoint = self.endpoints.pushing(DEFAULT_DOMAIN if host in _HUB_NAMES else host)[0]
        try:
            with self._transport(endpoint, "", auth, "", offline_token=True) as transport:
                base = transport.connect()
                try:
                    transport.login()
                except RegistryError as error:
                    raise Unauthorized(f'Get "{base}/v2/": {error}') from None
                token = transport.authorizer.refresh_token
        except RegistryError as error:
            if error.code == "UNAUTHORIZED":
                raise Unauthorized(f'Get "{endpoint.bases[-1]}/v2/": {error}') from None
            raise general(error) from None
        return {"Status": "Login Succeeded", "IdentityToken": token}

    def _pulling(self, reference: Reference, auth: Auth, work: Callable[[Transport], _Result]) -> _Result:
        """Do ``work`` at the first server that can. Mirrors may fail in any way; the registry has the last word."""
        endpoints = self.endpoints.pulling(reference.domain)
        failures: list[DockmagicError] = []
        for endpoint in endpoints:
            try:
                with self._transport(endpoint, reference.path, auth, "pull") as transport:
                    return work(transport)
            except RegistryUnreachable as error:
                failures.append(error)
            except (RegistryError, BrokenTransfer, NotFound, Unauthorized) as error:
                if not endpoint.mirror:
                    raise
                failures.append(_of_mirror(endpoint, error))
        # the last word was: not in reach
        lines = [str(failure) for failure in reversed(failures)]
        lines.append(f"{OFFLINE_HELP} {MIRROR_HELP}" if reference.domain == HUB else OFFLINE_HELP)
        raise RegistryUnreachable("\n".join(lines)) from None

    def _transport(
        self, endpoint: Endpoint, repository: str, auth: Auth, actions: str, *, offline_token: bool = False
    ) -> Transport:
        from dockmagic.images.registry.transport import Transport

        return Transport(
            endpoint,
            repository,
            Credentials.from_docker(auth),
            actions,
            patience=self._patience,
            stop=threading.Event(),
            offline_token=offline_token,
        )

    def _tags(self, transport: Transport) -> list[str]:
        """Every tag of the repository; the list comes in pages (distribution specification, "Listing tags")."""
        tags: list[str] = []
        target = "tags/list"
        for _ in range(1000):
            with transport.request("GET", target) as response:
                body = response.raw.read(8 << 20, decode_content=True)
                following = response.links.get("next", {}).get("url", "")
                url = response.url
            try:
                tags += [str(tag) for tag in json.loads(body).get("tags") or []]
            except (ValueError, AttributeError):
                raise InvalidParameter("the registry's list of tags can't be read") from None
            if not following:
                break
            target = urljoin(url, following)
            if urlsplit(target).netloc != urlsplit(url).netloc:
                raise InvalidParameter("the registry's list of tags leads to another server")
        return tags


def _of_mirror(endpoint: Endpoint, error: DockmagicError) -> DockmagicError:
    return DockmagicError(f"mirror {endpoint.bases[-1]}: {error}")


def _inspected(transport: Transport, reference: Reference) -> dict[str, Any]:
    from dockmagic.images.registry import manifests

    found = manifests.fetch(transport, reference.digest or reference.tag, reference.digest)
    descriptor = {"mediaType": found.media_type, "digest": found.digest, "size": len(found.data)}
    if found.is_index:
        platforms = [entry["platform"] for entry in found.entries if isinstance(entry.get("platform"), dict)]
        return {"Descriptor": descriptor, "Platforms": platforms}
    try:
        fields = dict(json.loads(manifests.fetch_config(transport, found.config)))
    except (ValueError, TypeError):
        raise InvalidParameter("the image's config can't be read") from None
    names = ("architecture", "os", "variant", "os.version", "os.features")
    return {"Descriptor": descriptor, "Platforms": [{name: fields[name] for name in names if fields.get(name)}]}
