"""The Engine API through docker-py's session: paths and JSON in, JSON out, docker's errors.

docker-py carries the connection (unix socket, TCP, TLS, ssh, npipe), the API version and the credentials; commands
speak the API's own words, for every flag of docker's is a field of it. The reference is moby's API documentation.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic import client as engines
from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.hijack import Hijacked

if TYPE_CHECKING:
    import docker
    import requests

Body = bytes | BinaryIO | Iterable[bytes]


class Engine:
    """An engine that answers at ``url``."""

    def __init__(self, client: docker.DockerClient, url: str) -> None:
        self.client = client
        self.url = url
        self._api = client.api

    def close(self) -> None:
        self.client.close()

    def request(
        self,
        method: str,
        path: str,
        /,
        *,
        json_body: Any = None,
        data: Body | None = None,
        headers: dict[str, str] | None = None,
        streamed: bool = False,
        **params: Any,
    ) -> requests.Response:
        """One request; parameters that are None are left out, lists and maps are sent as JSON.

        Raises EngineError with the engine's message, CommandError when the engine does not answer.
        """
        import requests

        query = {k.rstrip("_"): _parameter(v) for k, v in params.items() if v is not None}
        if json_body is not None:
            data = json.dumps(json_body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        url = f"{self._api.base_url}/v{self._api.api_version}{path}"
        try:
            response = self._api.request(
                method, url, params=query, data=data, headers=headers, stream=streamed, timeout=None
            )
        except requests.exceptions.RequestException as error:
            raise self._gone(error) from error
        if response.status_code >= 400:
            raise _error(response)
        result: requests.Response = response
        return result

    def get(self, path: str, /, **params: Any) -> Any:
        return _decoded(self.request("GET", path, **params))

    def post(self, path: str, /, json_body: Any = None, **params: Any) -> Any:
        return _decoded(self.request("POST", path, json_body=json_body, **params))

    def delete(self, path: str, /, **params: Any) -> Any:
        return _decoded(self.request("DELETE", path, **params))

    def messages(self, method: str, path: str, /, **kwargs: Any) -> Generator[dict[str, Any], None, None]:
        """The JSON messages of a stream, as they come; closing the iterator ends the request."""
        response = self.request(method, path, streamed=True, **kwargs)
        with contextlib.closing(response):
            rest = b""
            for chunk in self._chunks(response):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
            if rest.strip():
                yield json.loads(rest)

    def download(self, path: str, /, **params: Any) -> Iterator[bytes]:
        """The bytes of an answer, as they come."""
        response = self.request("GET", path, streamed=True, **params)
        with contextlib.closing(response):
            yield from self._chunks(response)

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        import requests

        try:
            yield from response.iter_content(chunk_size=None)
        except (requests.exceptions.RequestException, OSError) as error:
            raise self._gone(error) from error

    def hijack(self, path: str, /, json_body: Any = None, **params: Any) -> Hijacked:
        """A connection turned into a raw stream both ways: attach and exec start."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        response = self.request("POST", path, json_body=json_body, headers=headers, streamed=True, **params)
        return Hijacked(response)

    def version(self) -> dict[str, Any]:
        """``GET /version``, asked once."""
        known: dict[str, Any] | None = getattr(self, "_version", None)
        if known is None:
            known = self._version = self.get("/version")
        return known

    @property
    def buildkit(self) -> bool:
        """Whether ``POST /build?version=2`` can be asked for.

        Daemons before 23.0 offer the classic builder in /_ping and have BuildKit all the same (since API 1.39); an
        engine that has not ignores the parameter. DOCKER_BUILDKIT=0 asks for the classic builder.
        """
        if os.environ.get("DOCKER_BUILDKIT") == "0":
            return False
        version = tuple(int(part) for part in str(self._api.api_version).split("."))
        return version >= (1, 39) and self.version().get("Os", "linux") == "linux"

    @property
    def takes_parts(self) -> bool:
        """Whether a build's secrets and named contexts can come in its one request: on an engine of dockmagic's."""
        return self.request("GET", "/_ping").headers.get("Server", "").lower().startswith("dockmagic/")

    def _gone(self, error: Exception) -> CommandError:
        text = str(error)
        if "Connection aborted" in text or "FileNotFoundError" in text or "refused" in text:
            return CommandError(engines.unreachable(self.url))
        return CommandError(f"error during connect: {text}")


def _parameter(value: Any) -> Any:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, dict):
        return json.dumps(value)
    return value


def _decoded(response: requests.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        return response.text


def _error(response: requests.Response) -> EngineError:
    try:
        message = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text.strip() or f"{response.status_code} {response.reason}"
    return EngineError(response.status_code, str(message).rstrip("\n"))
