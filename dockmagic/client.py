"""Which engine answers: the explicit choice, DOCKER_HOST, the docker context, the usual sockets, else our own.

:func:`choose` decides and starts nothing but, at the end of the list, the embedded engine; :func:`connect` gives
docker-py on it. Whoever holds the client never asks again which engine it is: the Engine API is the interface.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dockmagic import home
from dockmagic.errors import InvalidParameter, Unavailable

if TYPE_CHECKING:
    import docker

EMBEDDED = "embedded"
"""The value of DOCKMAGIC_HOST that asks for dockmagic's own engine, whatever else answers."""

START_TIMEOUT = 30.0
"""Seconds the embedded engine may take until it answers; usually it takes less than half of one."""


@dataclass(frozen=True)
class Choice:
    """An engine and why it was chosen. ``url`` is what docker-py calls base_url."""

    url: str
    reason: str
    """DOCKMAGIC_HOST, DOCKER_HOST, "context NAME", "socket" or "embedded" """
    tls: tuple[str, str, str] | None = None
    """files of the authority, the certificate and the key; an empty name means none"""
    verify: bool = True

    @property
    def embedded(self) -> bool:
        return self.reason == EMBEDDED


def connect(choice: Choice | None = None, *, timeout: int = 600) -> docker.DockerClient:
    """docker-py on the engine that answers; ``timeout`` in seconds is that of a single request.

    Raises Unavailable when none does and ours can't run here.
    """
    chosen = choice or choose()
    if chosen.embedded:
        ensure_embedded()
    import docker

    tls: Any = False
    if chosen.tls is not None:
        ca, cert, key = chosen.tls
        pair = (cert, key) if cert and key else None
        tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=ca or None, verify=chosen.verify)
    try:
        return docker.DockerClient(base_url=chosen.url, tls=tls, timeout=timeout, version="auto")
    except docker.errors.DockerException as error:
        raise Unavailable(unreachable(chosen.url)) from error


def unreachable(url: str) -> str:
    """Docker's words for an engine that does not answer."""
    return f"Cannot connect to the Docker daemon at {url}. Is the docker daemon running?"


def choose() -> Choice:
    """The engine to use, in the order of the module's first line. Asks sockets, starts nothing."""
    explicit = os.environ.get("DOCKMAGIC_HOST", "").strip()
    if explicit == EMBEDDED:
        return embedded_choice()
    if explicit:
        return Choice(explicit, "DOCKMAGIC_HOST", *_environment_tls())
    host = os.environ.get("DOCKER_HOST", "").strip()
    if host:
        return Choice(host, "DOCKER_HOST", *_environment_tls())
    name = os.environ.get("DOCKER_CONTEXT") or current_context()
    if name and name != "default":
        return context_choice(name)
    for url in usual_sockets():
        if answers(url):
            return Choice(url, "socket")
    return embedded_choice()


def embedded_choice() -> Choice:
    """dockmagic's own engine of this user and data root."""
    return Choice(f"unix://{home.default_socket(home.data_root())}", EMBEDDED)


def _environment_tls() -> tuple[tuple[str, str, str] | None, bool]:
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    folder = os.environ.get("DOCKER_CERT_PATH")
    if not verify and not folder:
        return None, True
    base = Path(folder).expanduser() if folder else config_folder()
    return (str(base / "ca.pem"), str(base / "cert.pem"), str(base / "key.pem")), verify


# --- docker's contexts: ~/.docker/config.json and ~/.docker/contexts (docker CLI, cli/context/store) ---


def config_folder() -> Path:
    """``$DOCKER_CONFIG``, else ~/.docker."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def read_config() -> dict[str, Any]:
    """The whole of config.json; empty when it is not there or not JSON."""
    try:
        loaded = json.loads((config_folder() / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def current_context() -> str:
    """The context that ``docker context use`` chose; "" when none was."""
    name = read_config().get("currentContext", "")
    return name if isinstance(name, str) else ""


def context_folder(name: str, kind: str = "meta") -> Path:
    """Where the context store keeps ``name``; ``kind`` is meta or tls."""
    return config_folder() / "contexts" / kind / hashlib.sha256(name.encode()).hexdigest()


def read_context(name: str) -> dict[str, Any]:
    """A context's metadata. Raises InvalidParameter with docker's words when there is none."""
    path = context_folder(name) / "meta.json"
    try:
        loaded: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise InvalidParameter(f'context "{name}": context not found: open {path}: no such file or directory') from None
    except (OSError, ValueError) as error:
        raise InvalidParameter(f'context "{name}": {error}') from None
    return loaded


def context_choice(name: str) -> Choice:
    """The engine of a docker context. Raises InvalidParameter when there is no such context."""
    endpoint = read_context(name).get("Endpoints", {}).get("docker", {})
    files = context_folder(name, "tls") / "docker"
    tls = None
    if files.is_dir():
        ca, cert, key = (str(files / f) if (files / f).exists() else "" for f in ("ca.pem", "cert.pem", "key.pem"))
        tls = (ca, cert, key)
    return Choice(endpoint.get("Host", ""), f"context {name}", tls, not endpoint.get("SkipTLSVerify", False))


# --- sockets ---


def usual_sockets() -> list[str]:
    """Where Docker, Docker Desktop, rootless Docker, Colima, Rancher Desktop, OrbStack and Podman listen."""
    if sys.platform == "win32":
        return ["npipe:////./pipe/docker_engine"]
    user = Path.home()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    paths = [
        Path("/var/run/docker.sock"),
        runtime / "docker.sock",
        user / ".docker" / "run" / "docker.sock",
        user / ".docker" / "desktop" / "docker.sock",
        user / ".colima" / "default" / "docker.sock",
        user / ".rd" / "docker.sock",
        user / ".orbstack" / "run" / "docker.sock",
        runtime / "podman" / "podman.sock",
    ]
    return [f"unix://{p}" for p in paths if p.exists()]


def answers(url: str, timeout: float = 1.0) -> bool:
    """Whether an engine answers ``HEAD /_ping`` at ``url`` within ``timeout`` seconds."""
    parts = urlsplit(url)
    if parts.scheme == "npipe":
        return Path(url.removeprefix("npipe://").replace("/", "\\")).exists()
    request = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
    try:
        with _dial(url, timeout) as connection:
            connection.sendall(request)
            return connection.recv(12).split(b" ")[1:] == [b"200"]
    except OSError:
        return False


def _dial(url: str, timeout: float) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)  # type: ignore[attr-defined,unused-ignore]  # absent on Windows
        connection.settimeout(timeout)
        try:
            connection.connect(url.removeprefix("unix://"))
        except OSError:
            connection.close()
            raise
        return connection
    return socket.create_connection((parts.hostname or "localhost", parts.port or 2375), timeout)


# --- the embedded engine's life ---


def ensure_embedded() -> None:
    """Have dockmagic's own engine answer: find the running one, else start it and wait until it does.

    Raises Unavailable where it can't run (macOS, Windows) or doesn't come up, with the end of its log.
    """
    root = home.data_root()
    path = home.default_socket(root)
    url = f"unix://{path}"
    if path.exists() and answers(url):
        return
    if not sys.platform.startswith("linux"):
        raise Unavailable(
            "No Docker daemon answers, and dockmagic's own engine runs on Linux only. "
            "Start Docker Desktop (or Colima, Rancher Desktop, Podman), or set DOCKER_HOST."
        )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_one(path.with_suffix(".lock")):
        if answers(url):  # another client started it while this one waited
            return
        _start(url, root)


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold ``lock``, so that two clients don't start two engines."""
    import fcntl

    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _start(url: str, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = root / "engine.log"
    with log.open("ab") as out:
        begin = out.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "dockmagic", "engine", "--host", url, "--root", str(root)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,  # an interrupt of the cell is not the engine's
            cwd="/",
        )
    deadline = time.monotonic() + START_TIMEOUT
    pause = 0.005
    while not answers(url, timeout=5):
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            why = f"ended with exit code {code}" if code is not None else f"did not answer in {START_TIMEOUT:.0f} s"
            with log.open("rb") as told:
                told.seek(begin)
                last = told.read().decode("utf-8", "replace").strip().splitlines()[-5:]
            raise Unavailable("\n".join([f"dockmagic's engine {why}; its log is {log}", *last]))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    # Reap it whenever it ends: it is our child, but its life is its own.
    threading.Thread(target=process.wait, daemon=True, name="dockmagic-engine-wait").start()
