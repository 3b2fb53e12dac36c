"""Our engine beside dockerd: runs, builds, cold start."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

from bench.measure import Row, milliseconds
from tests.support import images, services

FILES = 5_000
STEPS = 12


def _client(url: str) -> docker.DockerClient:
    client = docker.DockerClient(base_url=url, timeout=300)
    client.images.load(images.alpine())
    return client


def _echo(client: docker.DockerClient, network: str) -> None:
    out = client.containers.run("alpine", ["echo", "hello"], remove=True, network_mode=network)
    if out != b"hello\n":
        raise RuntimeError(f"unexpected output {out!r}")


def _context() -> bytes:
    """5,000 files of a few kB and a Dockerfile of 12 instructions; about 20 MB."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        lines = ["FROM alpine", "COPY files /files"]
        lines += [f"RUN echo {n} > /step{n}" for n in range(STEPS - 4)]
        lines += ["WORKDIR /files", 'CMD ["ls"]']
        files = {"Dockerfile": "\n".join(lines).encode()}
        files |= {f"files/{n % 50}/{n}": (b"%d" % n) * 1000 for n in range(FILES)}
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), images.STAMP
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _build(client: docker.DockerClient, context: bytes, *, cold: bool) -> None:
    response = client.api._post(
        client.api._url("/build"), data=context, headers={"Content-Type": "application/x-tar"}, stream=True,
        params={"version": "2", "t": "bench", "nocache": "1" if cold else "0", "networkmode": "host"},
    )  # fmt: skip
    text = response.content
    if b"errorDetail" in text or b"moby.image.id" not in text:
        raise RuntimeError(text[-500:].decode(errors="replace"))


def _cold_start() -> float:
    with tempfile.TemporaryDirectory() as folder:
        count = iter(range(100))

        def start() -> None:
            with services.embedded(Path(folder) / str(next(count))) as url:
                docker.APIClient(base_url=url).ping()

        def start_only() -> float:
            import time

            began = time.perf_counter()
            with services.embedded(Path(folder) / str(next(count))) as url:
                import http.client
                import socket

                connection = http.client.HTTPConnection("engine")
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(url.removeprefix("unix://"))
                connection.request("GET", "/_ping")
                connection.getresponse().read()
                return (time.perf_counter() - began) * 1000

        start()
        return sorted(start_only() for _ in range(5))[2]


def _load_ext() -> float:
    script = (
        "from IPython.core.interactiveshell import InteractiveShell as S; import time; s = S.instance();"
        "b = time.perf_counter(); s.run_line_magic('load_ext', 'dockmagic'); print((time.perf_counter() - b) * 1000)"
    )
    taken = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    return sorted(taken)[2]


def rows() -> Iterator[Row]:
    """The engine's rows; those beside dockerd need root and dockerd."""
    yield Row("%load_ext dockmagic", _load_ext(), goal=150)
    yield Row("engine cold start, until /_ping answers", _cold_start(), goal=400)
    context = _context()
    with tempfile.TemporaryDirectory() as folder, services.embedded(Path(folder) / "root") as url:
        mine = _measured(_client(url), context)
    if os.geteuid() != 0 and "DOCKMAGIC_TEST_DOCKERD" not in os.environ:
        for name, value in mine.items():
            yield Row(name, value)
        return
    with services.dockerd() as url:
        other = _measured(_client(url), context)
    for (name, value), goal in zip(mine.items(), (0.1, None, 1 / 3, 1 / 20), strict=True):
        yield Row(name, value, other[name], goal)


def _measured(client: docker.DockerClient, context: bytes) -> dict[str, float]:
    build = f"build, {STEPS} instructions, {FILES} files,"
    return {
        "run --rm alpine echo hello, through docker-py": milliseconds(lambda: _echo(client, "default")),
        "the same with --network host": milliseconds(lambda: _echo(client, "host")),
        f"{build} cold": milliseconds(lambda: _build(client, context, cold=True), 3),
        f"{build} cached": milliseconds(lambda: _build(client, context, cold=False), 5),
    }
