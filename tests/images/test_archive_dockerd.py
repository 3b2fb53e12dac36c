"""Archives between our store and a real dockerd, both ways."""

from __future__ import annotations

import io
from collections.abc import Iterator

import docker
import pytest

from dockmagic.images import archive, standins
from dockmagic.images.store import Store
from tests.images.test_registry_push import add
from tests.support import images


@pytest.fixture
def daemon(dockerd: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=dockerd)
    yield client
    client.close()


def test_dockerd_loads_what_we_save(store: Store, daemon: docker.DockerClient) -> None:
    image = add(store, "dm-archive-test:1")
    store.tag(image.id, "dm-archive-test:2")
    try:
        loaded = daemon.images.load(b"".join(archive.save(store, ["dm-archive-test"])))[0]
        assert loaded.id == image.id
        assert sorted(loaded.tags) == ["dm-archive-test:1", "dm-archive-test:2"]
        assert loaded.attrs["RootFS"]["Layers"] == image.diff_ids
    finally:
        daemon.images.remove(image.id, force=True)


def test_we_load_what_dockerd_saves_and_it_comes_back_the_same(store: Store, daemon: docker.DockerClient) -> None:
    (theirs,) = daemon.images.load(images.archive("dm-archive-test:3", images.rootfs({"etc/mark": "x"}), ["sh"]))
    try:
        saved = b"".join(theirs.save(named=True))
        (ours,) = archive.load(store, io.BytesIO(saved))
        assert ours.id == theirs.id
        assert ours.tags == ["dm-archive-test:3"]
        (again,) = daemon.images.load(b"".join(archive.save(store, ["dm-archive-test:3"])))
        assert again.id == theirs.id
    finally:
        daemon.images.remove(theirs.id, force=True)


def test_dockerd_runs_the_stand_ins(store: Store, daemon: docker.DockerClient) -> None:
    script = "ls / | sort | head -n 1; id -un; printf 'a b' | awk '{print $2}'"
    for name, command, expected in (
        ("hello-world", None, b"Hello from dockmagic!"),
        ("dockmagic/host", ["sh", "-c", script], b"root\nb\n"),
    ):
        image = standins.make(store, name)
        store.tag(image.id, "dm-archive-test:4")
        daemon.images.load(b"".join(archive.save(store, ["dm-archive-test:4"])))
        try:
            assert expected in daemon.containers.run("dm-archive-test:4", command, remove=True)
        finally:
            daemon.images.remove("dm-archive-test:4", force=True)
