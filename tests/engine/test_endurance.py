"""Many of everything: nothing fails, nothing is left over."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest

from tests.engine.conftest import IMAGE
from tests.engine.test_life import until
from tests.support import services


@pytest.fixture
def each(engine: str) -> Callable[..., list[object]]:
    """``each(20, action)``: call ``action(client, number)`` 20 times side by side, a client each."""

    def run(count: int, action: Callable[[docker.DockerClient, int], object]) -> list[object]:
        def one(number: int) -> object:
            client = docker.DockerClient(base_url=engine, timeout=120)
            try:
                return action(client, number)
            finally:
                client.close()

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    return run


def left(engine: str) -> dict[str, int]:
    """What an engine holds: descriptors, threads, mounts, containers' folders."""
    pid = services.listener(engine)
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    root = Path(os.fsdecode(command[command.index(b"--root") + 1]))
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(os.listdir(f"/proc/{pid}/task")),
        "mounts": Path(f"/proc/{pid}/mounts").read_text().count(str(root)),
        "containers": len(os.listdir(root / "containers")),
        "roots": len(os.listdir(root / "snapshots")),
    }


def test_runs_side_by_side(client, each) -> None:
    def run(own: docker.DockerClient, number: int) -> bytes:
        return b"".join(own.containers.run(IMAGE, ["echo", str(number)], remove=True) for _ in range(3))

    assert each(10, run) == [f"{number}\n".encode() * 3 for number in range(10)]


def test_nothing_is_left_after_many_runs(client, each, engine, ours) -> None:
    def run(own: docker.DockerClient, number: int) -> None:
        for _ in range(5):
            own.containers.run(IMAGE, ["true"], remove=True)

    base = left(engine)
    each(8, run)  # as many threads at once as there will be: database connections are kept for the next ones
    until(lambda: left(engine)["threads"] <= base["threads"])
    until(lambda: left(engine)["mounts"] <= base["mounts"], 60)
    before = left(engine)
    each(8, run)
    until(lambda: left(engine)["threads"] <= before["threads"])
    until(lambda: left(engine)["mounts"] <= before["mounts"], 60)  # unmounted behind the caller
    after = left(engine)
    assert after["descriptors"] < before["descriptors"] + 20  # a few more database connections; not one a run
    # fewer may be left than before: what earlier tests removed may still have been on its way out
    assert [name for name in ("mounts", "containers", "roots") if after[name] > before[name]] == []


def test_followers_side_by_side(client, each, box) -> None:
    id = box.start(["sh", "-c", "for i in $(seq 1 500); do echo line $i; done; sleep 0.5"])

    def follow(own: docker.DockerClient, number: int) -> bytes:
        return b"".join(own.api.logs(id, stream=True, follow=True))

    expected = b"".join(b"line %d\n" % number for number in range(1, 501))
    assert each(20, follow) == [expected] * 20


def test_builds_side_by_side(client, each) -> None:
    def build(own: docker.DockerClient, number: int) -> str:
        text = f"FROM {IMAGE}\nRUN echo {number} > /number\nRUN cat /number\n"
        image, _ = own.images.build(fileobj=io.BytesIO(text.encode()), nocache=True)
        return str(image.id)

    ids = each(4, build)
    assert len(set(ids)) == 4
    for id in ids:
        client.images.remove(id, force=True)


def test_execs_side_by_side(client, each, box) -> None:
    id = box.loop()

    def run(own: docker.DockerClient, number: int) -> bytes:
        return bytes(own.api.exec_start(own.api.exec_create(id, ["echo", str(number)])))

    assert each(12, run) == [f"{number}\n".encode() for number in range(12)]


def test_one_container_started_and_stopped_by_many(client, each, box) -> None:
    """Whatever the order, the state afterwards is one of the two, and the engine is sane."""
    id = box.create(["sleep", "60"])

    def toggle(own: docker.DockerClient, number: int) -> None:
        action = own.api.start if number % 2 else own.api.kill
        try:
            action(id)
        except docker.errors.APIError as error:
            assert error.status_code in {304, 409}, error

    each(10, toggle)
    until(lambda: client.api.inspect_container(id)["State"]["Status"] in {"created", "exited", "running"})
    client.api.remove_container(id, force=True)


def test_removal_by_many(client, each, box) -> None:
    id = box.loop()
    removed: list[int] = []
    lock = threading.Lock()

    def remove(own: docker.DockerClient, number: int) -> None:
        try:
            own.api.remove_container(id, force=True)
        except docker.errors.APIError as error:
            assert error.status_code in {404, 409}, error
        else:
            with lock:
                removed.append(number)

    each(6, remove)
    assert len(removed) == 1


def test_made_up_names_never_collide(client, each) -> None:
    def create(own: docker.DockerClient, number: int) -> list[str]:
        return [own.api.create_container(IMAGE, "true")["Id"] for _ in range(20)]

    made = [id for ids in each(10, create) for id in ids]  # type: ignore[attr-defined]
    names = {client.api.inspect_container(id)["Name"] for id in made}
    for id in made:
        client.api.remove_container(id)
    assert len(names) == 200
