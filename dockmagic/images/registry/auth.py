"""How a request proves who asks: basic, a token of the registry's token server, or a token given.

Distribution's token specification (docs/spec/auth/token.md, oauth.md); RFC 7235 for the challenges.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dockmagic.errors import Unauthorized
from dockmagic.images.registry.endpoints import is_loopback
from dockmagic.images.registry.failures import from_answer, shown

if TYPE_CHECKING:
    import requests

_CLIENT = "dockmagic"
_TOKEN_LIMIT = 1 << 20
"""bytes; distribution's client reads no more of a token server's answer either"""
_CHALLENGE = re.compile(r'\s*,?\s*([A-Za-z0-9!#$%&\'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?')


@dataclass(frozen=True)
class Challenge:
    """One challenge of a WWW-Authenticate header; names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a WWW-Authenticate header, malformed rests left out."""
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while match := _CHALLENGE.match(header, at):
        at = match.end()
        name, quoted, plain = match.groups()
        if quoted is None and plain is None:
            found.append((name.lower(), {}))
        elif found:
            found[-1][1][name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
    return [Challenge(scheme, parameters) for scheme, parameters in found]


@dataclass(frozen=True)
class Credentials:
    """What docker's X-Registry-Auth carries. Never shown."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @classmethod
    def from_docker(cls, auth: Mapping[str, Any] | None) -> Credentials:
        """From docker's dictionary: username, password, identitytoken, registrytoken, or auth (both in base64)."""
        auth = auth or {}

        def text(name: str) -> str:
            value = auth.get(name)
            return value if isinstance(value, str) else ""

        username, password = text("username"), text("password")
        if text("auth") and not username:
            try:
                username, _, password = base64.b64decode(text("auth"), validate=True).decode().partition(":")
            except ValueError:
                username = password = ""
        return cls(username, password.rstrip("\0"), text("identitytoken"), text("registrytoken"))


Send = Callable[..., "requests.Response"]


class Authorizer:
    """Keeps the Authorization header for one repository of one registry. Safe for threads."""

    def __init__(self, credentials: Credentials, scopes: list[str], send: Send, *, offline: bool = False) -> None:
        self._credentials = credentials
        self._scopes = scopes
        self._send = send
        self._offline = offline
        self._lock = threading.Lock()
        self._header = f"Bearer {credentials.registry_token}" if credentials.registry_token else ""
        self.refresh_token = ""
        """what a login with ``offline`` was given: docker's identity token"""

    @property
    def header(self) -> str:
        """The header's value to send; "" before the registry has asked for one."""
        return self._header

    def want(self, scope: str) -> None:
        """Also ask for ``scope`` (``repository:NAME:pull``) from the next token on."""
        with self._lock:
            if scope not in self._scopes:
                self._scopes.append(scope)
                if self._header.startswith("Bearer ") and not self._credentials.registry_token:
                    self._header = ""

    def answer(self, challenges: list[Challenge], sent: str, url: str, method: str) -> bool:
        """Get a new header after an answer 401 to ``sent``; False when there is nothing better to send.

        Raises Unauthorized where credentials are wanted and there are none, and what the token server says.
        """
        with self._lock:
            if self._header and self._header != sent:  # another thread was here already
                return True
            by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
            if "bearer" in by_scheme and not self._credentials.registry_token:
                new = f"Bearer {self._token(by_scheme['bearer'], url)}"
            elif "basic" in by_scheme:
                if not self._credentials.username:
                    raise Unauthorized(f'{method.capitalize()} "{shown(url)}": no basic auth credentials')
                new = _basic(self._credentials)
            else:
                return False
            if new == sent:
                return False
            self._header = new
            return True

    def _token(self, challenge: Challenge, registry: str) -> str:
        realm = challenge.parameters.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unauthorized(f"the registry {shown(registry)} names no token server that could be asked")
        scopes = list(self._scopes) or challenge.parameters.get("scope", "").split()
        service = challenge.parameters.get("service", "")
        secret = bool(self._credentials.username or self._credentials.identity_token)
        if secret and parts.scheme == "http" and not is_loopback(parts.hostname) and registry.startswith("https:"):
            raise Unauthorized(
                f"the registry names a token server without TLS ({shown(realm)}): nothing was sent to it"
            )
        if self._credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": self._credentials.identity_token}
            form |= {"service": service, "client_id": _CLIENT, "scope": " ".join(scopes)}
            response = self._send("POST", realm, data=form)
        else:
            query = [("scope", scope) for scope in scopes]
            query += [("service", service)] if service else []
            query += [("offline_token", "true"), ("client_id", _CLIENT)] if self._offline else []
            query += [("account", self._credentials.username)] if self._credentials.username else []
            headers = {"Authorization": _basic(self._credentials)} if self._credentials.username else {}
            response = self._send("GET", realm, params=query, headers=headers)
        with response:
            body = response.raw.read(_TOKEN_LIMIT, decode_content=True)
        if response.status_code != 200:
            raise from_answer(response.status_code, body)
        return self._read_token(body, realm)

    def _read_token(self, body: bytes, realm: str) -> str:
        import json

        try:
            parsed = json.loads(body)
            token = parsed.get("token") or parsed.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not token:
            raise Unauthorized(f"authorization server {shown(realm)} did not include a token in the response")
        if isinstance(parsed.get("refresh_token"), str):
            self.refresh_token = parsed["refresh_token"]
        return token


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()
