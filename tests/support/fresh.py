"""A pytest plugin for nbval: each notebook finds the engine as the first one did, so that no cache is another's."""

from __future__ import annotations

import contextlib
import os

import docker
import pytest


class Fresh:
    """Forgets what notebooks made on the engine at ``url``: images that were not there at first, the build cache."""

    def __init__(self, url: str) -> None:
        self._client = docker.DockerClient(base_url=url, timeout=120)
        self._first = {tag for image in self._client.images.list() for tag in image.tags}

    def restore(self) -> None:
        """Take away what is new."""
        for image in self._client.images.list():
            for tag in [tag for tag in image.tags or [image.id] if tag not in self._first]:
                with contextlib.suppress(docker.errors.APIError):  # of a container that a failed notebook left
                    self._client.images.remove(tag, force=True)
        self._client.api.prune_builds(all=True)

    def close(self) -> None:
        self._client.close()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FRESH] = Fresh(os.environ["DOCKMAGIC_HOST"])


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[FRESH].close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before a notebook's first cell."""
    if getattr(item, "cell_num", None) == 0:
        item.config.stash[FRESH].restore()


FRESH: pytest.StashKey[Fresh] = pytest.StashKey()
