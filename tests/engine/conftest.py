"""The engine's fixtures: docker-py's low-level client, containers that go when the test does, raw HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import docker
import pytest

IMAGE = "busybox"
LOOP = ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"]
"""Runs until it is told to end, and obeys at once when it has said that it is up."""


@pytest.fixture
def api(client: docker.DockerClient) -> docker.APIClient:
    """The low-level client."""
    return client.api


class Boxes:
    """Makes containers and removes them all."""

    def __init__(self, api: docker.APIClient) -> None:
        self._api = api
        self._made: list[str] = []

    def create(self, command: Any = "true", *, host: dict[str, Any] | None = None, **options: Any) -> str:
        """The id of a created container."""
        if host is not None:
            options["host_config"] = self._api.create_host_config(**host)
        id: str = self._api.create_container(options.pop("image", IMAGE), command, **options)["Id"]
        self._made.append(id)
        return id

    def start(self, command: Any = "true", **options: Any) -> str:
        """The id of a started container."""
        id = self.create(command, **options)
        self._api.start(id)
        return id

    def run(self, command: Any, **options: Any) -> tuple[int, bytes]:
        """Exit code and output (both streams) of a container that has ended."""
        id = self.start(command, **options)
        code: int = self._api.wait(id)["StatusCode"]
        return code, self._api.logs(id)

    def loop(self, **options: Any) -> str:
        """The id of a container that runs on, and is up."""
        id = self.start(LOOP, **options)
        deadline = time.monotonic() + 15
        while self._api.logs(id) != b"up\n":
            assert time.monotonic() < deadline, "it did not come up"
            time.sleep(0.01)
        return id

    def remove_all(self) -> None:
        for id in self._made:
            with contextlib.suppress(docker.errors.NotFound):
                self._api.remove_container(id, force=True, v=True)


@pytest.fixture
def box(api: docker.APIClient) -> Iterator[Boxes]:
    boxes = Boxes(api)
    yield boxes
    boxes.remove_all()


@dataclass
class Reply:
    """An answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """A connection to an engine's socket, without a client library in between."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def reply(self, *, bodyless: bool = False) -> Reply:
        status, headers = self.head()
        if bodyless or status in {101, 204, 304}:
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self.chunk, b""))
        elif "content-length" in headers:
            body = self.file.read(int(headers["content-length"]))
        else:
            body = self.file.read()
        return Reply(status, headers, body)

    def chunk(self) -> bytes:
        data = self.file.read(int(self.file.readline(), 16))
        self.file.readline()
        return data

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: docker"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        return self.reply(bodyless=method == "HEAD")

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@pytest.fixture
def raw(engine: str, client: docker.DockerClient) -> Iterator[Callable[[], Raw]]:
    """Opens raw connections to the engine."""
    opened: list[Raw] = []

    def connect() -> Raw:
        opened.append(Raw(engine.removeprefix("unix://")))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@dataclass(frozen=True)
class Tier:
    """What runs the engine's containers. The properties are what docs/engine.md says that a tier can't do."""

    name: str
    """``dockerd``, or ours: ``namespaces``, ``rootless``, ``tracer``"""
    one_id: bool
    """All of a container's users are the engine's own."""

    @property
    def traced(self) -> bool:
        """No namespaces: the host's processes and interfaces are seen, a tmpfs is a folder."""
        return self.name == "tracer"

    @property
    def limits(self) -> bool:
        """Memory, CPUs and the number of processes can be limited."""
        return self.name in {"dockerd", "namespaces"}

    @property
    def bridged(self) -> bool:
        """A container that asks for no network is on the default bridge, not on the host's network."""
        return self.name != "rootless"


@pytest.fixture
def tier(api: docker.APIClient) -> Tier:
    """The tier, as the engine tells it. A test asserts on each what that tier does."""
    info = api.info()
    labels = dict(label.split("=", 1) for label in info["Labels"] or ())
    name = labels.get("dockmagic.tier", "dockerd")
    return Tier(name, name == "rootless" and ["Id mapping", "single"] in info["DriverStatus"])


@pytest.fixture
def ours(request: pytest.FixtureRequest) -> None:
    """Only on the embedded engine: what dockerd 20.10 has not, or says otherwise."""
    if request.node.callspec.params.get("engine") != "embedded":
        pytest.skip("about our engine")
