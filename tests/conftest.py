"""Fixtures common to all rooms: both engines by one parameter, a registry, and images to work with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.support import images, services

CONFORMANCE = Path(os.environ.get("DOCKMAGIC_CONFORMANCE", Path(__file__).parents[2] / "shared" / "conformance"))


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The folder of peers' cases; tests that need it skip where it is absent."""
    if not CONFORMANCE.is_dir():
        pytest.skip(f"no conformance data at {CONFORMANCE}")
    return CONFORMANCE


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the user's own engine, its data or the docker configuration."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DOCKMAGIC_ROOT", str(tmp_path_factory.mktemp("own") / "root"))
    patch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker-config")))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKMAGIC_HOST", "DOCKMAGIC_REGISTRY_MIRRORS"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def dockerd() -> Iterator[str]:
    """The URL of a real daemon."""
    with services.dockerd() as url:
        yield url


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an engine of ours that lives as long as the session."""
    with services.embedded(tmp_path_factory.mktemp("engine")) as url:
        yield url


def _engines() -> list[str]:
    only = os.environ.get("DOCKMAGIC_TEST_ENGINES")
    return only.split(",") if only else ["embedded", "dockerd"]


@pytest.fixture(scope="session", params=_engines())
def engine(request: pytest.FixtureRequest) -> str:
    """The URL of each engine in turn. DOCKMAGIC_TEST_ENGINES names fewer."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture(scope="session")
def client(engine: str) -> Iterator[docker.DockerClient]:
    """docker-py on ``engine``, which has alpine and busybox."""
    images.provide(engine)
    with_images = docker.DockerClient(base_url=engine, timeout=120)
    yield with_images
    with_images.close()


@pytest.fixture
def run_engine(engine: str, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> str:
    """``engine`` with its images, chosen for everything that asks dockmagic.client."""
    monkeypatch.setenv("DOCKMAGIC_HOST", engine)
    return engine


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """``host:port`` of a registry on loopback that holds library/alpine and library/busybox."""
    with services.registry() as address:
        images.fill_registry(address)
        yield address
