"""A distribution's own package manager inside a build, in every tier that has a network."""

from __future__ import annotations

import os
from pathlib import Path

import docker
import pytest

from tests.spine.conftest import dockmagic
from tests.support import debian


@pytest.fixture(scope="session")
def debian_image(embedded: str) -> str:
    """A Debian root on our engine, with a network to fetch packages."""
    debian.needed()
    client = docker.DockerClient(base_url=embedded, timeout=300)
    with debian.tarball().open("rb") as tar:
        client.api.import_image_from_data(tar, repository="debian", tag="test")
    client.close()
    return "debian:test"


@pytest.mark.skipif(
    "embedded" not in os.environ.get("DOCKMAGIC_TEST_ENGINES", "embedded"), reason="about the embedded engine only"
)
def test_apt_installs_a_package(debian_image: str, embedded: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {debian_image}\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        "RUN apt-get update -q && apt-get install -y -q hello\nCMD hello\n"
    )
    done = dockmagic("build", "-t", "greeter", str(tmp_path), DOCKMAGIC_HOST=embedded)
    assert done.returncode == 0, done.stderr
    assert dockmagic("run", "--rm", "greeter", DOCKMAGIC_HOST=embedded).stdout == "Hello, world!\n"
