"""What a registry refuses and what a network breaks, as errors with Docker's own words.

No message carries a header, a query or a body that could hold a secret: URLs are cut after their path.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from dockmagic.errors import DockmagicError, Forbidden, NotFound, TooManyRequests, Unauthorized, Unavailable

OFFLINE_HELP = (
    "What works without it: the images hello-world and dockmagic/host, which are made on the spot, and docker load "
    "of an archive that docker save made elsewhere."
)
MIRROR_HELP = "DOCKMAGIC_REGISTRY_MIRRORS can name a mirror of docker.io that is in reach."
_LIMIT_HELP = (
    'The limit counts pulls without a login by network address, so others may have used it up: log in with "docker '
    'login", or name a mirror in DOCKMAGIC_REGISTRY_MIRRORS.'
)


class RegistryUnreachable(Unavailable):
    """No server answered: no network, no such host, nothing listening. dockerd answers 500."""

    status = 500


class RegistryError(DockmagicError):
    """The registry answered with an error. ``code`` is distribution's (``MANIFEST_UNKNOWN``, ``DENIED``, …)."""

    def __init__(self, message: str, code: str, http_status: int) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status


class BrokenTransfer(DockmagicError):
    """The connection broke while bytes were on the way; trying again may help."""


class Cancelled(BrokenTransfer):
    """Given up, because another transfer of the same pull or push had failed or nobody wants it any more."""

    def __init__(self) -> None:
        super().__init__("the transfer was given up")


def shown(url: str) -> str:
    """A URL fit for a message: no user, no query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def from_answer(status: int, body: bytes, challenge: tuple[str, str] | None = None, kind: str = "") -> RegistryError:
    """The error that an answer with ``status`` and ``body`` tells.

    ``challenge`` is (error, description) of its WWW-Authenticate header; ``kind`` (``manifests``, ``blobs``) is what
    was asked for, and names the error when the body doesn't.
    """
    told = list(_told(body))
    if challenge and challenge[0] == "insufficient_scope":  # RFC 6750 section 3.1, as distribution's client reads it
        told.insert(0, ("DENIED", challenge[1] or _WORDS["DENIED"]))
    elif challenge and challenge[0] == "invalid_token":
        told.insert(0, ("UNAUTHORIZED", challenge[1] or _WORDS["UNAUTHORIZED"]))
    if not told:
        code = _BY_STATUS.get(status, "")
        if status == 404:
            code = {"manifests": "MANIFEST_UNKNOWN", "blobs": "BLOB_UNKNOWN"}.get(kind, "NAME_UNKNOWN")
        if not code:
            return RegistryError(f"received unexpected HTTP status: {_status_line(status)}", "UNKNOWN", status)
        told = [(code, _WORDS.get(code, code.lower()))]
    code, message = told[0]
    return RegistryError(f"{code.lower().replace('_', ' ')}: {message}", code, status)


_BY_STATUS = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}
# the words of distribution's registry/api/errcode and registry/api/v2/errors.go
_WORDS = {
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "TOOMANYREQUESTS": "too many requests",
    "MANIFEST_UNKNOWN": "manifest unknown",
    "BLOB_UNKNOWN": "blob unknown to registry",
    "NAME_UNKNOWN": "repository name not known to registry",
}


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _told(body: bytes) -> Iterator[tuple[str, str]]:
    """(code, message) of the errors in a body of distribution's or of a token server's form."""
    try:
        parsed: Any = json.loads(body)
    except ValueError:
        return
    if not isinstance(parsed, dict):
        return
    errors = parsed.get("errors")
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict) and isinstance(error.get("code"), str):
            code = error["code"].upper()
            yield code, str(error.get("message") or _WORDS.get(code, code.lower()))
    details = parsed.get("details")
    if isinstance(details, str):
        yield "UNAUTHORIZED", details


def for_pull(error: RegistryError, familiar: str, familiar_name: str) -> DockmagicError:
    """dockerd's error for a pull of ``familiar`` that the registry refused (distribution/errors.go)."""
    if error.code == "DENIED":
        what = f"pull access denied for {familiar_name}, repository does not exist or may require 'docker login'"
        return NotFound(f"{what}: {error}")
    if error.code == "MANIFEST_UNKNOWN":
        return NotFound(f"manifest for {familiar} not found: {error}")
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {familiar_name} not found: {error}")
    return general(error)


def general(error: RegistryError) -> DockmagicError:
    """The error with the HTTP status that belongs to its code."""
    if error.code == "UNAUTHORIZED":
        return Unauthorized(str(error))
    if error.code == "DENIED":
        return Forbidden(str(error))
    if error.code == "TOOMANYREQUESTS" or error.http_status == 429:
        return TooManyRequests(f"{error}\n{_LIMIT_HELP}")
    if error.code in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"):
        return NotFound(str(error))
    return error


def from_network(method: str, url: str, error: BaseException) -> RegistryUnreachable | BrokenTransfer:
    """The error for an exception of requests or a socket, in the words of Go's net package."""
    import ssl  # slow to import, and no error of it comes before requests has imported it

    where = urlsplit(url)
    begin = f'{method.capitalize()} "{shown(url)}": '
    address = f"{where.hostname}:{where.port or (443 if where.scheme == 'https' else 80)}"
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return RegistryUnreachable(f"{begin}dial tcp: lookup {where.hostname}: no such host")
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = getattr(cause, "verify_message", "") or "the certificate is not valid"
            return RegistryUnreachable(f"{begin}tls: failed to verify certificate: {why}")
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            why = (getattr(cause, "reason", None) or "handshake failure").lower().replace("_", " ")
            return RegistryUnreachable(f"{begin}tls: {why}")
        if isinstance(cause, ConnectionRefusedError):
            return RegistryUnreachable(f"{begin}dial tcp {address}: connect: connection refused")
        if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return RegistryUnreachable(f"{begin}dial tcp {address}: connect: {os.strerror(cause.errno).lower()}")
        if type(cause).__name__ in ("ConnectTimeoutError", "ConnectTimeout"):
            return RegistryUnreachable(f"{begin}dial tcp {address}: i/o timeout")
        if type(cause).__name__ == "ProxyError":
            return RegistryUnreachable(f"{begin}proxyconnect tcp: the proxy refused the connection")
    for cause in _causes(error):
        if type(cause).__name__ in ("ReadTimeoutError", "ReadTimeout"):
            return BrokenTransfer(f"{begin}net/http: timeout awaiting response")
    return BrokenTransfer(f"{begin}unexpected EOF")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what lies beneath it: urllib3 and requests nest their causes in several ways."""
    seen: set[int] = set()
    todo: list[BaseException] = [error]
    while todo:
        current = todo.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        todo.extend(item for item in inner if isinstance(item, BaseException))
