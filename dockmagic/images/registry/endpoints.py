"""Where a registry answers: docker.io's mirrors, plain HTTP on loopback, certificates of private registries."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from dockmagic.errors import InvalidParameter

HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
CERTIFICATES = "/etc/docker/certs.d"
"""dockerd's folder of certificates, a folder a registry; of it ``ca.crt`` is used"""


@dataclass(frozen=True)
class Endpoint:
    """One server to ask. ``bases`` are the URLs to try, in order, until one answers as a server of that kind."""

    host: str
    bases: tuple[str, ...]
    mirror: bool = False
    verify: bool | str = True
    """True: by the usual authorities; a path: by the certificates in that file; False: not at all"""
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:  # the password stays out of every log and traceback
        return f"Endpoint({self.host!r}, {self.bases!r}, mirror={self.mirror})"


class Endpoints:
    """Knows the servers for a domain. ``mirrors`` (URLs or host:port) serve docker.io before Docker Hub itself.

    ``insecure`` are hosts (host, host:port or a network such as 10.0.0.0/8) that may be asked by plain HTTP or with
    certificates that can't be verified; loopback addresses always may.
    """

    def __init__(self, mirrors: Iterable[str] = (), insecure: Iterable[str] = ()) -> None:
        self._insecure = tuple(insecure)
        self._mirrors = tuple(self._mirror(text) for text in mirrors)

    @classmethod
    def from_environment(cls) -> Endpoints:
        """As DOCKMAGIC_REGISTRY_MIRRORS and DOCKMAGIC_INSECURE_REGISTRIES say (separated by commas or spaces)."""
        return cls(
            _words(os.environ.get("DOCKMAGIC_REGISTRY_MIRRORS", "")),
            _words(os.environ.get("DOCKMAGIC_INSECURE_REGISTRIES", "")),
        )

    @property
    def mirrors(self) -> tuple[str, ...]:
        """The mirrors' URLs, without credentials."""
        return tuple(mirror.bases[-1] for mirror in self._mirrors)

    def pulling(self, domain: str) -> list[Endpoint]:
        """The servers to pull from, in order."""
        return [*self._mirrors, *self.pushing(domain)] if domain == HUB else self.pushing(domain)

    def pushing(self, domain: str) -> list[Endpoint]:
        """The servers to push to and to log in at: never a mirror."""
        return [self._endpoint(_HUB_HOST if domain == HUB else domain)]

    def is_insecure(self, host: str) -> bool:
        """Whether plain HTTP to ``host`` (host or host:port) is allowed."""
        name = _hostname(host)
        if is_loopback(name):
            return True
        for allowed in self._insecure:
            if allowed in (host, name):
                return True
            try:
                if ipaddress.ip_address(name) in ipaddress.ip_network(allowed, strict=False):
                    return True
            except ValueError:
                continue
        return False

    def _endpoint(self, host: str) -> Endpoint:
        if self.is_insecure(host):  # as dockerd: TLS without verification first, then plain
            return Endpoint(host, (f"https://{host}", f"http://{host}"), verify=False)
        return Endpoint(host, (f"https://{host}",), verify=_authorities(host))

    def _mirror(self, text: str) -> Endpoint:
        if "://" not in text:
            found = self._endpoint(text.rstrip("/"))
            return Endpoint(found.host, found.bases, True, found.verify)
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InvalidParameter(f"invalid mirror {parts.scheme}://{parts.hostname}: it is no http or https URL")
        host = parts.netloc.rpartition("@")[2]
        base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        verify: bool | str = False if self.is_insecure(host) else _authorities(host)
        return Endpoint(host, (base,), True, verify, unquote(parts.username or ""), unquote(parts.password or ""))


def is_loopback(name: str) -> bool:
    """Whether a host name means this machine."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _hostname(host: str) -> str:
    return urlsplit(f"//{host}").hostname or host


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def _authorities(host: str) -> bool | str:
    """A registry's own certificate, else the file that the environment names, else the usual authorities."""
    own = os.path.join(CERTIFICATES, host, "ca.crt")
    if os.path.isfile(own):
        return own
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(name, "")
        if path and os.path.exists(path):
            return path
    return True
