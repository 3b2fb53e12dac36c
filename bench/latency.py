"""create, start, wait, logs and remove through docker-py: median and 99th percentile beside dockerd, in one run.

Without root and without DOCKMAGIC_TEST_DOCKERD only ours. ``BENCH_ROUNDS`` is how many rounds are taken (200).
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker

from bench.measure import Row
from tests.support import images, services

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "200"))


def rows() -> Iterator[Row]:
    """Rounds on both engines in turn, so that what else the machine does hits both."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = [stack.enter_context(services.embedded(Path(folder) / "root"))]
        if os.geteuid() == 0 or "DOCKMAGIC_TEST_DOCKERD" in os.environ:
            urls.append(stack.enter_context(services.dockerd()))
        clients = [docker.DockerClient(base_url=url, timeout=300) for url in urls]
        for client in clients:
            client.images.load(images.alpine())
        for network in ("host", "bridge"):
            taken: list[list[float]] = [[] for _ in clients]
            for number in range(ROUNDS + 3):
                for times, client in zip(taken, clients, strict=True):
                    began = time.perf_counter()
                    _round(client.api, network)
                    if number >= 3:  # the first ones do not count
                        times.append((time.perf_counter() - began) * 1000)
            for name, value in (("median", statistics.median), ("99th percentile", _percentile)):
                both = [value(times) for times in taken]
                title = f"create+start+wait+logs+remove, {network}: {name}"
                yield Row(title, both[0], both[1] if len(both) > 1 else None)
        for client in clients:
            client.close()


def _round(api: docker.APIClient, network: str) -> None:
    host = api.create_host_config(network_mode=network)
    id = api.create_container("alpine", ["echo", "hello"], host_config=host)["Id"]
    api.start(id)
    code, out = api.wait(id)["StatusCode"], api.logs(id)
    api.remove_container(id)
    if (code, out) != (0, b"hello\n"):
        raise RuntimeError(f"unexpected: {code} {out!r}")


def _percentile(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
