"""Manifests from a registry: fetched, verified by digest, and read into the few fields that matter."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from dockmagic.errors import DockmagicError, InvalidParameter, NotFound
from dockmagic.images.index import choose
from dockmagic.images.manifest import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
)
from dockmagic.images.registry.download import BlobStream
from dockmagic.images.registry.failures import RegistryError
from dockmagic.images.registry.transport import Transport
from dockmagic.platforms import Platform

ACCEPT = ", ".join((DOCKER_MANIFEST, DOCKER_INDEX, OCI_MANIFEST, OCI_INDEX, "*/*;q=0.1"))
LIMIT = 8 << 20
"""bytes of a manifest or a config; containerd reads no bigger ones either"""
_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+"
_CONFIGS = (DOCKER_CONFIG, OCI_CONFIG, "application/octet-stream", "")


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index as the registry has it. ``media_type`` is the one it has, whatever the header said."""

    digest: str
    media_type: str
    data: bytes
    fields: dict[str, Any] = field(repr=False)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def entries(self) -> list[dict[str, Any]]:
        """An index's entries."""
        return [entry for entry in self.fields.get("manifests") or [] if isinstance(entry, dict)]

    @property
    def config(self) -> Descriptor:
        """Raises InvalidParameter for what is no image."""
        found = _descriptor(self.fields.get("config"), "config")
        if found.media_type not in _CONFIGS:
            raise InvalidParameter(f"unsupported media type {found.media_type}: this is no container image")
        return found

    @property
    def layers(self) -> list[Descriptor]:
        """From the base up. Raises InvalidParameter."""
        return [_descriptor(layer, "layer") for layer in self.fields.get("layers") or []]


def read(data: bytes, header: str, digest: str = "") -> Manifest:
    """Read a manifest that came with the Content-Type ``header``; verified when a ``digest`` was asked for.

    Raises DockmagicError for the wrong digest, InvalidParameter for a kind that can't be used.
    """
    found = "sha256:" + hashlib.sha256(data).hexdigest()
    if digest and digest != found:
        raise DockmagicError(f"manifest verification failed for digest {digest}")
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise InvalidParameter(f"the registry's manifest is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidParameter("the registry's manifest is no JSON object")
    kind = str(fields.get("mediaType") or header.split(";", maxsplit=1)[0].strip())
    if fields.get("schemaVersion") == 1 or kind.startswith(_SCHEMA1):
        raise InvalidParameter(
            "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported: "
            "ask the author of the image to upgrade it to the OCI Format or Docker Image manifest v2, schema 2"
        )
    if kind not in (*INDEXES, *MANIFESTS):  # OCI allows to leave mediaType out, and some servers send text/plain
        if isinstance(fields.get("manifests"), list):
            kind = OCI_INDEX
        elif isinstance(fields.get("config"), dict) and "layers" in fields:
            kind = OCI_MANIFEST
        else:
            raise InvalidParameter(f"unsupported manifest media type: {kind or 'none given'}")
    return Manifest(found, kind, data, fields)


def head(transport: Transport, reference: str) -> Descriptor | None:
    """What the registry says of a tag without sending it, which counts for no rate limit; None when it doesn't say."""
    try:
        with transport.request("HEAD", f"manifests/{reference}", headers={"Accept": ACCEPT}) as response:
            digest = response.headers.get("Docker-Content-Digest", "")
            kind = response.headers.get("Content-Type", "").split(";")[0]
            size = response.headers.get("Content-Length", "0")
    except RegistryError as error:
        if error.http_status < 500:  # an answer to HEAD has no body that could say why: the GET that follows tells
            return None
        raise
    return Descriptor(kind, digest, int(size) if size.isdigit() else 0) if digest else None


def fetch(transport: Transport, reference: str, digest: str = "") -> Manifest:
    """The manifest with a tag or digest ``reference``, verified when ``digest`` is given."""
    with transport.request("GET", f"manifests/{reference}", headers={"Accept": ACCEPT}) as response:
        data = response.raw.read(LIMIT + 1, decode_content=True)
        header = response.headers.get("Content-Type", "")
    if len(data) > LIMIT:
        raise InvalidParameter(f"the manifest is bigger than {LIMIT} bytes")
    return read(data, header, digest)


def fetch_config(transport: Transport, descriptor: Descriptor) -> bytes:
    """An image's config, verified. Raises DockmagicError for wrong bytes, InvalidParameter for too many."""
    if not 0 < descriptor.size <= LIMIT:
        raise InvalidParameter(f"the image's config must have 1 to {LIMIT} bytes, not {descriptor.size}")
    with BlobStream(transport, descriptor.digest, descriptor.size) as stream:
        data = stream.read()
    if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor.digest:
        raise DockmagicError(f"image config verification failed for digest {descriptor.digest}")
    return data


def for_platform(transport: Transport, found: Manifest, wanted: Platform) -> Manifest:
    """``found`` itself, or of an index the manifest of the image that fits ``wanted``. Raises NotFound."""
    for _ in range(3):  # an index may hold another; no real one goes deeper
        if not found.is_index:
            return found
        entry = choose(found.entries, wanted)
        if entry is None:
            raise NotFound(f"no matching manifest for {wanted} in the manifest list entries")
        digest = _descriptor(entry, "manifest").digest
        found = fetch(transport, digest, digest)
    raise InvalidParameter("the registry's manifest lists are nested too deep")


def _descriptor(value: Any, what: str) -> Descriptor:
    from dockmagic.images.reference import check_digest

    try:
        found = Descriptor.of(value)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidParameter(f"the registry's manifest has a {what} that can't be read") from None
    check_digest(found.digest)
    return found
