"""Fixtures of the images room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockmagic.database import Database
from dockmagic.images.content import Content
from dockmagic.images.snapshots import open_snapshots
from dockmagic.images.store import Store
from tests.images.fakeregistry import FakeRegistry, fake_registry


@pytest.fixture
def new_store(tmp_path: Path) -> Callable[[str], Store]:
    """Makes empty stores that keep their layers as plain folders, whatever this machine could do."""

    def make(name: str) -> Store:
        root = tmp_path / name
        database = Database(root / "state.db")
        content = Content(root / "content")
        snapshots = open_snapshots(root / "snapshots", content, database, overlay="no", id_mapping="host")
        return Store(root, database, snapshots)

    return make


@pytest.fixture
def store(new_store: Callable[[str], Store]) -> Store:
    return new_store("store")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A registry of the test's own, empty."""
    with fake_registry() as registry:
        yield registry
