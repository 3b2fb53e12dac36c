"""The kernel's own registry: what clients push, they and nobody else can pull."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dockmagic.commands.errors import CommandError
from dockmagic.notebook.registry import Registry
from tests.commands.conftest import Shell


@pytest.fixture
def registry() -> Iterator[Registry]:
    running = Registry(0, "ana")
    yield running
    running.stop()


def test_an_image_goes_there_and_comes_back(registry: Registry, run_engine: str) -> None:
    shell = Shell(run_engine)
    name = f"{registry.address}/ana/travels:1.0"
    shell("tag", "alpine", name)
    with pytest.raises(CommandError, match="no basic auth credentials"):
        shell("push", name)
    shell("login", "-u", "ana", "-p", registry.password, registry.address)
    shell("push", name)
    assert registry.images == [name]
    shell("rmi", name)
    assert shell.text("run", "--rm", name, "echo", "back") == "back\n"
    shell("rmi", name)
    shell("logout", registry.address)


def test_a_user_is_asked_for(registry: Registry) -> None:
    url = f"http://{registry.address}/v2/"
    refused = requests.get(url, timeout=10)
    assert (refused.status_code, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    assert requests.get(url, auth=("ana", "guess"), timeout=10).status_code == 401
    assert requests.get(url, auth=("ana", registry.password), timeout=10).status_code == 200
    assert registry.password not in repr(registry)


def test_a_blob_is_what_its_digest_says(registry: Registry) -> None:
    base, who = f"http://{registry.address}", ("ana", registry.password)
    place = requests.post(f"{base}/v2/ana/x/blobs/uploads/", auth=who, timeout=10).headers["Location"]
    parts = iter([b"one ", b"two"])  # an iterator is sent in chunks
    assert requests.patch(base + place, data=parts, auth=who, timeout=10).status_code == 202
    wrong = f"{base}{place}?digest=sha256:{'0' * 64}"
    assert requests.put(wrong, auth=who, timeout=10).json()["errors"][0]["code"] == "DIGEST_INVALID"
    digest = "sha256:" + hashlib.sha256(b"one two").hexdigest()
    whole = requests.post(f"{base}/v2/ana/x/blobs/uploads/?digest={digest}", data=b"one two", auth=who, timeout=10)
    assert whole.status_code == 201
    found = requests.get(f"{base}/v2/ana/x/blobs/{digest}", auth=who, timeout=10)
    assert found.content == b"one two"
    assert requests.get(f"{base}/v2/../../etc/passwd", auth=who, timeout=10).status_code == 404


def test_what_it_held_is_gone_with_it() -> None:
    running = Registry(0)
    folder = Path(running.store.blob("sha256:x")).parent
    with pytest.raises(CommandError, match=r"no registry on port \d+: address already in use"):
        Registry(int(running.address.partition(":")[2]))
    running.stop()
    assert not folder.exists()
