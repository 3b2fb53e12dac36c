"""Pushing: what is there is not sent again, what breaks goes on, and the other side gets a whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dockmagic.errors import Forbidden, InvalidParameter, NotFound
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.manifest import DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_LAYER, OCI_LAYER_ZSTD, OCI_MANIFEST
from dockmagic.images.registry import Registry
from dockmagic.images.registry.failures import BrokenTransfer
from dockmagic.images.registry.transport import Patience
from dockmagic.images.store import Store, StoredImage
from tests.images.fakeregistry import FakeRegistry
from tests.images.samples import config_of, gz, noise, sha, tar_of, zst

QUICK = Patience(attempts=3, backoff=0.0)
TARS = [tar_of({"base": b"one"}), tar_of({"top": noise(400_000)})]


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, (), (), patience=QUICK)


def add(store: Store, name: str, pack: Callable[[bytes], bytes] = gz, kind: str = DOCKER_LAYER_GZIP) -> StoredImage:
    """Put an image with TARS, packed, in the store."""
    layers = []
    for tar in TARS:
        digest, size = store.content.put(pack(tar))
        layers.append(BlobLayer(store.content, digest, size, kind, sha(tar)))
    image = store.add(config_of(TARS), layers)
    store.tag(image.id, name)
    return image


def states(messages: list[dict[str, Any]], tar: bytes) -> list[str]:
    found = [message["status"] for message in messages if message.get("id") == sha(tar)[7:19]]
    return [state for at, state in enumerate(found) if at == 0 or found[at - 1] != state]


def test_a_push_says_what_docker_says(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    name = f"{fake.host}/lab/tool:1"
    image = add(store, name)
    messages: list[dict[str, Any]] = []
    digest = registry.push(name, progress=messages.append)
    data, kind = fake.manifests["lab/tool", "1"]
    assert (kind, sha(data)) == (DOCKER_MANIFEST, digest)
    assert messages[0] == {"status": f"The push refers to repository [{fake.host}/lab/tool]"}
    assert states(messages, TARS[1]) == ["Preparing", "Pushing", "Pushed"]
    assert messages[-2:] == [
        {"status": f"1: digest: {digest} size: {len(data)}"},
        {"progressDetail": {}, "aux": {"Tag": "1", "Digest": digest, "Size": len(data)}},
    ]
    assert store.get(image.id).digests == [f"{fake.host}/lab/tool@{digest}"]


def test_what_was_pushed_can_be_pulled(
    fake: FakeRegistry, registry: Registry, new_store: Callable[[str], Store]
) -> None:
    here, there = new_store("here"), new_store("there")
    image = add(here, f"{fake.host}/a:1")
    Registry(here, (), (), patience=QUICK).push(f"{fake.host}/a:1")
    pulled = Registry(there, (), (), patience=QUICK).pull(f"{fake.host}/a:1")
    assert pulled.id == image.id
    assert [layer.open_tar().read() for layer in pulled.layers] == TARS


def test_what_was_pulled_keeps_its_digest(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    name = f"{fake.host}/a:1"
    add(store, name)
    digest = registry.push(name)
    store.tag(store.get(name).id, f"{fake.host}/b:1")
    assert registry.push(f"{fake.host}/b:1") == digest


def test_a_second_push_sends_no_layer(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    name = f"{fake.host}/a:1"
    add(store, name)
    registry.push(name)
    fake.requests.clear()
    messages: list[dict[str, Any]] = []
    registry.push(name, progress=messages.append)
    assert states(messages, TARS[0]) == ["Preparing", "Layer already exists"]
    assert not fake.asked("POST", "/uploads/")


@pytest.mark.parametrize("allowed", [True, False])
def test_a_layer_of_a_neighbour_is_mounted(fake: FakeRegistry, registry: Registry, store: Store, allowed: bool) -> None:
    image = add(store, f"{fake.host}/a:1")
    registry.push(f"{fake.host}/a:1")
    store.tag(image.id, f"{fake.host}/b/c:1")
    fake.allow_mounts = allowed
    messages: list[dict[str, Any]] = []
    registry.push(f"{fake.host}/b/c:1", progress=messages.append)
    assert states(messages, TARS[0])[-1] == ("Mounted from a" if allowed else "Pushed")
    assert ("b/c", sha(gz(TARS[0]))) in fake.blobs


def test_a_mount_asks_for_the_right_to_read_there(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    fake.auth = "bearer"
    image = add(store, f"{fake.host}/a:1")
    registry.push(f"{fake.host}/a:1")
    store.tag(image.id, f"{fake.host}/b:1")
    registry.push(f"{fake.host}/b:1")
    assert any(
        "repository%3Ab%3Apull%2Cpush" in path and "repository%3Aa%3Apull" in path for _, path, _ in fake.requests
    )


def test_a_broken_upload_goes_on_where_it_broke(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    name = f"{fake.host}/a:1"
    add(store, name, kind=DOCKER_LAYER_GZIP)
    fake.add_blob("a", gz(TARS[0]))
    fake.break_upload_after = [200_000]
    messages: list[dict[str, Any]] = []
    registry.push(name, progress=messages.append)
    size = len(gz(TARS[1]))
    assert [headers.get("Content-Range") for headers in fake.asked("PATCH", "/uploads/")][1] == f"200000-{size - 1}"
    assert "Retrying in 1 second" in states(messages, TARS[1])
    assert fake.blobs["a", sha(gz(TARS[1]))] == gz(TARS[1])


def test_an_upload_that_keeps_breaking_fails(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    name = f"{fake.host}/a:1"
    add(store, name)
    fake.add_blob("a", gz(TARS[0]))
    fake.break_upload_after = [0] * 20
    with pytest.raises(BrokenTransfer, match="unexpected EOF"):
        registry.push(name)
    assert ("a", "1") not in fake.manifests


def test_a_server_that_takes_small_pieces_only(
    fake: FakeRegistry, registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockmagic.images.registry.upload._PIECE", 100_000)
    fake.largest_patch = 150_000
    name = f"{fake.host}/a:1"
    add(store, name)
    registry.push(name)
    assert fake.blobs["a", sha(gz(TARS[1]))] == gz(TARS[1])


def test_a_layer_made_here_is_packed_once(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    name = f"{fake.host}/a:1"
    add(store, name, pack=bytes, kind=OCI_LAYER)
    messages: list[dict[str, Any]] = []
    first = registry.push(name)
    assert registry.push(name, progress=messages.append) == first
    assert states(messages, TARS[1]) == ["Preparing", "Layer already exists"]
    assert max(len(data) for data in fake.blobs.values()) < len(TARS[1])
    assert [layer.open_tar().read() for layer in store.get(name).layers] == TARS


def test_zstd_layers_go_in_an_oci_manifest(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    add(store, f"{fake.host}/a:1", pack=zst, kind=OCI_LAYER_ZSTD)
    registry.push(f"{fake.host}/a:1")
    assert fake.manifests["a", "1"][1] == OCI_MANIFEST


def test_all_tags_of_a_name(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    image = add(store, f"{fake.host}/a:1")
    store.tag(image.id, f"{fake.host}/a:2")
    store.tag(image.id, f"{fake.host}/b:3")
    registry.push(f"{fake.host}/a", all_tags=True)
    assert sorted(key for key in fake.manifests if ":" not in key[1]) == [("a", "1"), ("a", "2")]


def test_what_can_not_be_pushed(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    with pytest.raises(NotFound, match=f"An image does not exist locally with the tag: {fake.host}/none"):
        registry.push(f"{fake.host}/none")
    with pytest.raises(InvalidParameter, match="cannot push a digest reference"):
        registry.push(f"{fake.host}/none@sha256:{'0' * 64}")
    add(store, f"{fake.host}/a:1")
    with pytest.raises(NotFound, match=f"tag does not exist: {fake.host}/a:2"):
        registry.push(f"{fake.host}/a:2")
    fake.answer = lambda method, path: (403, {}, b"") if method == "POST" else None
    with pytest.raises(Forbidden, match="denied: requested access to the resource is denied"):
        registry.push(f"{fake.host}/a:1")
