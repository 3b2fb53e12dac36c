"""HTTP to one server about one repository: which base URL answers, who asks, redirects, retries, errors.

``requests`` is imported when the first transport is made, so that an engine which pulls nothing never loads it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urljoin, urlsplit

from dockmagic import __version__
from dockmagic.errors import DockmagicError
from dockmagic.images.registry.auth import Authorizer, Credentials, parse_challenges
from dockmagic.images.registry.endpoints import Endpoint, is_loopback
from dockmagic.images.registry.failures import (
    BrokenTransfer,
    Cancelled,
    RegistryUnreachable,
    from_answer,
    from_network,
    shown,
)

if TYPE_CHECKING:
    import requests

_ERROR_LIMIT = 64 << 10
"""bytes of an error's body that are read"""
_MAX_REDIRECTS = 10  # as Go's net/http
_REDIRECTS = (301, 302, 303, 307, 308)


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


Body: TypeAlias = "Callable[[], _Readable | bytes]"
"""Gives a request's body from its beginning, as often as it must be sent."""


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try."""

    connect: float = 8.0
    """seconds to look a host up, and again to connect"""
    read: float = 60.0
    """seconds without a byte"""
    attempts: int = 5
    backoff: float = 0.5
    """seconds before the second attempt; each next one waits twice as long"""

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the failed attempt number ``attempt`` (from 0)."""
        return float(self.backoff * 2**attempt)


class Transport:
    """Requests to ``endpoint`` about the repository ``repository``. Safe for threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        repository: str,
        credentials: Credentials,
        actions: str = "pull",
        *,
        patience: Patience | None = None,
        stop: threading.Event | None = None,
        offline_token: bool = False,
    ) -> None:
        import requests
        import urllib3

        self.endpoint = endpoint
        self.repository = repository
        self.stop = stop or threading.Event()
        self.patience = patience or Patience()
        self._requests = requests
        self._session = requests.Session()
        # trust_env would also read ~/.netrc and send what it finds there to registries; proxies are asked for below
        self._session.trust_env = False
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=8)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.headers["User-Agent"] = f"dockmagic/{__version__}"
        if endpoint.verify is False:  # as the user said; a warning with each request would only fill the engine's log
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._base = ""
        self._resolved: set[str] = set()
        if endpoint.mirror:  # a login at Docker Hub is not the mirror's business
            credentials = Credentials(endpoint.username, endpoint.password)
        scopes = [f"repository:{repository}:{actions}"] if repository else []
        self.authorizer = Authorizer(credentials, scopes, self._plain, offline=offline_token)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> str:
        """The base URL that answers ``/v2/``, found once. Raises RegistryUnreachable, RegistryError, Unauthorized."""
        if self._base:
            return self._base
        for attempt in range(self.patience.attempts):
            failed: DockmagicError | None = None
            for base in self.endpoint.bases:
                try:
                    if self._answers(base):
                        self._base = base
                        return base
                except (RegistryUnreachable, BrokenTransfer) as error:
                    failed = error
            # a connection that broke may do better the next time; where nothing listens nothing will
            if not isinstance(failed, BrokenTransfer) or self.stop.wait(self.patience.delay(attempt)):
                break
        if isinstance(failed, RegistryUnreachable):
            raise failed
        raise RegistryUnreachable(
            str(failed or f'Get "{shown(self.endpoint.bases[0])}/v2/": no registry answers there')
        )

    def _answers(self, base: str) -> bool:
        """Whether a registry speaks at ``base``. What it asks for is got here already, to save a round trip."""
        url = f"{base}/v2/"
        with self._send("GET", url, None, None, None, self.authorizer.header) as response:
            if response.status_code in (400, 403, 404) and base != self.endpoint.bases[-1]:
                return False  # something else speaks TLS there
            if response.status_code == 401:
                challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
                self.authorizer.answer(challenges, self.authorizer.header, url, "GET")
        return True

    def login(self) -> None:
        """Prove the credentials. Raises RegistryError where they are not accepted."""
        url = f"{self.connect()}/v2/"
        with self._authorized("GET", url) as response:
            if response.status_code != 200:
                raise self._error(response, "")

    def request(
        self,
        method: str,
        target: str,
        *,
        expect: tuple[int, ...] = (200,),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        params: Mapping[str, str] | None = None,
        attempts: int | None = None,
    ) -> requests.Response:
        """The answer, its body not yet read; close it. ``target`` is a path below ``/v2/NAME/`` or a whole URL.

        Broken connections and answers 5xx are tried again, for methods that may be repeated. Raises RegistryError for
        an answer that is not in ``expect``, RegistryUnreachable, BrokenTransfer.
        """
        url = target if "://" in target else f"{self.connect()}/v2/{self.repository}/{target}"
        if attempts is None:
            attempts = self.patience.attempts if method in ("GET", "HEAD", "DELETE") else 1
        for attempt in range(attempts):
            last = attempt == attempts - 1
            try:
                response = self._authorized(method, url, headers=headers, body=body, params=params)
            except BrokenTransfer:
                if last:
                    raise
            else:
                if response.status_code in expect:
                    return response
                if response.status_code < 500 or last:
                    with response:
                        raise self._error(response, target.split("/", 1)[0])
                response.close()
            if self.stop.wait(self.patience.delay(attempt)):
                raise Cancelled
        raise AssertionError("unreachable")

    def location(self, response: requests.Response) -> str:
        """The absolute URL of an answer's Location header."""
        return urljoin(response.url, response.headers.get("Location", ""))

    def _error(self, response: requests.Response, kind: str) -> DockmagicError:
        challenge = None
        for found in parse_challenges(response.headers.get("WWW-Authenticate", "")):
            if found.scheme == "bearer" and "error" in found.parameters:
                challenge = (found.parameters["error"], found.parameters.get("error_description", ""))
        try:
            body = response.raw.read(_ERROR_LIMIT, decode_content=True)
        except Exception:  # urllib3 raises errors of many kinds here; the status alone must do then
            body = b""
        return from_answer(response.status_code, body, challenge, kind)

    def _authorized(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send with the header the registry wants; asked for another one, send once more."""
        for again in (False, True):
            authorization = self.authorizer.header
            response = self._send(method, url, headers, body, params, authorization)
            if response.status_code != 401 or again:
                return response
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            if _origin(response.url) != _origin(self._base or url):  # a store of blobs, not the registry, refused
                return response
            if not self.authorizer.answer(challenges, authorization, url, method):
                return response
            response.close()
        raise AssertionError("unreachable")

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: Body | None,
        params: Mapping[str, str] | None,
        authorization: str,
    ) -> requests.Response:
        """Send, following redirects; only the registry's own origin is shown the authorization."""
        origin = _origin(self._base or url)
        for _ in range(_MAX_REDIRECTS + 1):
            sent = dict(headers or {})
            if authorization and _origin(url) == origin:
                sent["Authorization"] = authorization
            response = self._plain(method, url, headers=sent, data=body() if body else None, params=params)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            if response.status_code == 303 and method != "HEAD":
                method, body = "GET", None
            url, params = self.location(response), None
            response.close()
        raise RegistryUnreachable(f'{method.capitalize()} "{shown(url)}": stopped after {_MAX_REDIRECTS} redirects')

    def _plain(self, method: str, url: str, **options: Any) -> requests.Response:
        """One exchange, without following anything. The registry's errors of the network become ours."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        proxies: dict[str, str] = {}
        if not is_loopback(host):  # as Go's ProxyFromEnvironment
            proxies = dict(self._requests.utils.get_environ_proxies(url))
        if not proxies.get(parts.scheme):
            self._look_up(method, url, host, parts.port or 443)
        verify = self.endpoint.verify
        if host != urlsplit(f"//{self.endpoint.host}").hostname:
            verify = _usual_authorities()
        try:
            return self._session.request(
                method,
                url,
                timeout=(self.patience.connect, self.patience.read),
                allow_redirects=False,
                stream=True,
                proxies=proxies,
                verify=verify,
                **options,
            )
        except (self._requests.RequestException, OSError) as error:
            raise from_network(method, url, error) from None  # the cause may show a URL with a secret

    def _look_up(self, method: str, url: str, host: str, port: int) -> None:
        """Look the host up with a limit of time, which getaddrinfo has not: without a network it may take a minute."""
        if host in self._resolved:
            return
        failed: list[OSError] = []

        def look() -> None:
            try:
                socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=look, name=f"lookup {host}", daemon=True)
        thread.start()
        thread.join(self.patience.connect)
        if thread.is_alive():
            raise RegistryUnreachable(f'{method.capitalize()} "{shown(url)}": dial tcp: lookup {host}: i/o timeout')
        if failed:
            raise from_network(method, url, failed[0])
        self._resolved.add(host)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _usual_authorities() -> bool | str:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if os.path.exists(os.environ.get(name, "")):
            return os.environ[name]
    return True
