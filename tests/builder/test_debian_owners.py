"""Packages whose files have other owners than root, installed in the tracer and by dockerd: the same trees."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support import debian, services

DOCKERFILE = b"""\
FROM debian:test
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update -q && apt-get install -y -q --no-install-recommends openssh-client dbus
"""
PASSING = (
    "dev", "proc", "sys", ".dockerenv", "run", "tmp", "etc/hosts", "etc/hostname", "etc/resolv.conf", "var/cache",
    "var/log", "var/lib/apt", "var/lib/dpkg", "etc/machine-id", "var/lib/dbus", "var/lib/systemd",
)  # fmt: skip
"""What a runtime puts there, or what differs from one installation to the next."""


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[str]:
    """The URL of an engine of ours in the tracer tier."""
    with services.embedded(tmp_path / "root", DOCKMAGIC_RUNTIME="tracer") as url:
        yield url


def _tree(url: str) -> dict[str, tuple[Any, ...]]:
    """Type, permissions, owner and link of each file after the build, by path."""
    client = docker.DockerClient(base_url=url, timeout=300)
    try:
        with debian.tarball().open("rb") as tar:
            client.api.import_image_from_data(tar, repository="debian", tag="test")
        image, _log = client.images.build(fileobj=io.BytesIO(DOCKERFILE), tag="owners", network_mode="host", rm=True)
        container = client.containers.create(image.id, ["true"])
        exported = io.BytesIO(b"".join(container.export()))
        container.remove()
    finally:
        client.close()
    seen = {}
    with tarfile.open(fileobj=exported) as tree:
        for member in tree:
            path = member.name.rstrip("/")
            if not any(path == name or path.startswith(f"{name}/") for name in PASSING):
                owned = (member.mode & 0o7777, (member.uid, member.gid)) if not member.issym() else (0, None)
                seen[path] = (member.type, *owned, member.linkname)
    return seen


def test_owners_are_those_that_dockerd_has(traced: str, dockerd: str) -> None:
    debian.needed()
    ours, theirs = _tree(traced), _tree(dockerd)
    assert sorted(set(ours) ^ set(theirs)) == []
    assert {path: (ours[path], theirs[path]) for path in ours if ours[path] != theirs[path]} == {}
    mode, owner = ours["usr/bin/ssh-agent"][1:3]
    assert (mode, owner[0] == 0, owner[1] != 0) == (0o2755, True, True)
    mode, owner = ours["usr/lib/dbus-1.0/dbus-daemon-launch-helper"][1:3]
    assert (mode, owner[0] == 0, owner[1] != 0) == (0o4754, True, True)
