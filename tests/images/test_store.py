"""The image store: names, lookups, and deleting as docker does it, to the word."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dockmagic.errors import Conflict, InvalidParameter, NotFound
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.chain import chain_id
from dockmagic.images.deletion import InUse
from dockmagic.images.manifest import DOCKER_LAYER_GZIP, OCI_LAYER
from dockmagic.images.reference import Reference
from dockmagic.images.store import Store, StoredImage
from tests.images.samples import config_of, gz, sha, tar_of

BASE, TOP, OTHER = tar_of({"base": b"12345"}), tar_of({"top": b"123"}), tar_of({"other": b"1"})
DIGEST = "sha256:" + "d" * 64


def image(store: Store, *tars: bytes, parent: str = "", tags: tuple[str, ...] = (), **fields: Any) -> StoredImage:
    layers = []
    for tar in tars:
        digest, size = store.content.put(tar)
        layers.append(BlobLayer(store.content, digest, size, OCI_LAYER, sha(tar)))
    made = store.add(config_of(list(tars), **fields), layers, parent)
    for tag in tags:
        store.tag(made.id, tag)
    return store.get(made.id)


def short(made: StoredImage) -> str:
    return made.id[7:19]


def test_an_image_under_all_its_names(store: Store) -> None:
    made = image(store, BASE, TOP, tags=("app", "app:1", "localhost:5000/me/app:2"))
    store.add_digest(made.id, Reference.parse(f"app@{DIGEST}"))
    for name in (
        "app", "app:latest", "docker.io/library/app:1", "library/app:1", "localhost:5000/me/app:2", f"app@{DIGEST}",
        f"app:whatever@{DIGEST}", made.id, made.id[7:], made.id[7:19], made.id[:20],
    ):  # fmt: skip
        assert store.get(name).id == made.id, name
    found = store.get("app")
    assert found.tags == ["app:1", "app:latest", "localhost:5000/me/app:2"]
    assert found.digests == [f"app@{DIGEST}"]
    assert found.config["config"] == {"Cmd": ["sh"]}
    assert found.created == "2024-01-02T03:04:05Z"
    assert found.diff_ids == [sha(BASE), sha(TOP)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "No such image: nope:latest"),
        ("nope:1", "No such image: nope:1"),
        ("me/nope", "No such image: me/nope:latest"),
        ("abc123", "No such image: abc123:latest"),
        ("a" * 64, f"No such image: sha256:{'a' * 64}"),
        (f"nope@{DIGEST}", f"No such image: nope@{DIGEST}"),
    ],
)
def test_what_is_not_there(store: Store, name: str, message: str) -> None:
    image(store, BASE, tags=("app",))
    with pytest.raises(NotFound) as caught:
        store.get(name)
    assert str(caught.value) == message


def test_what_can_be_no_name(store: Store) -> None:
    with pytest.raises(InvalidParameter, match="invalid reference format"):
        store.get("Not/A Name")


def test_a_prefix_that_two_images_have_is_no_name(store: Store) -> None:
    made = [image(store, BASE, number=number) for number in range(20)]
    first = [one.id[7:8] for one in made]
    double = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(NotFound):
        store.get(double)


def test_the_same_image_twice_is_one(store: Store) -> None:
    assert image(store, BASE).id == image(store, BASE).id
    assert len(store.list()) == 1


def test_the_newest_first(store: Store) -> None:
    old = image(store, BASE, created="2020-01-01T00:00:00Z")
    new = image(store, BASE, created="2024-01-01T00:00:00Z")
    assert [one.id for one in store.list()] == [new.id, old.id]


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"rootfs": null}', config_of([TOP])])
def test_configs_that_do_not_fit(store: Store, config: bytes) -> None:
    digest, size = store.content.put(BASE)
    with pytest.raises(InvalidParameter, match="invalid image config"):
        store.add(config, [BlobLayer(store.content, digest, size, OCI_LAYER, digest)])
    assert store.list() == []


def test_a_layer_without_a_blob_is_refused(store: Store) -> None:
    with pytest.raises(InvalidParameter, match="neither in the content store nor unpacked"):
        store.add(config_of([BASE]), [BlobLayer(store.content, sha(BASE), 5, OCI_LAYER, sha(BASE))])
    assert store.list() == []


def test_tagging(store: Store) -> None:
    one, two = image(store, BASE, tags=("app",)), image(store, TOP)
    store.tag(two.id, "app")
    assert store.get("app").id == two.id
    assert store.get(one.id).tags == []
    with pytest.raises(InvalidParameter, match="refusing to create a tag with a digest reference"):
        store.tag(one.id, f"app@{DIGEST}")
    with pytest.raises(InvalidParameter, match="refusing to create an ambiguous tag"):
        store.tag(one.id, "sha256:abc")
    with pytest.raises(NotFound):
        store.tag(DIGEST, "x")


def test_size_is_that_of_the_files_once_they_are_known(store: Store) -> None:
    made = image(store, BASE, TOP)
    assert made.size == len(BASE) + len(TOP)
    assert store.chain(made) == chain_id(sha(BASE), sha(TOP)) == store.chain_of(made.diff_ids)
    assert store.get(made.id).size == 5 + 3


def test_a_built_layer_has_a_compressed_form_when_it_is_asked_for(store: Store) -> None:
    snapshot = store.snapshots.prepare("k", "")
    (snapshot.path / "f").write_bytes(b"f" * 5000)
    committed = store.snapshots.commit("k")
    assert committed is not None
    _, layer = committed
    made = store.add(json.dumps({"rootfs": {"diff_ids": [layer.diff_id]}}).encode(), [layer])
    assert list(store.content.digests()) == []
    [kept] = store.get(made.id).layers
    assert kept.media_type == DOCKER_LAYER_GZIP
    assert 0 < kept.size < 5000
    assert store.content.has(kept.digest)
    with kept.open_tar() as stream:
        assert sha(stream.read()) == layer.diff_id


def test_gzip_layers(store: Store) -> None:
    digest, size = store.content.put(gz(BASE))
    made = store.add(config_of([BASE]), [BlobLayer(store.content, digest, size, DOCKER_LAYER_GZIP, sha(BASE))])
    path = store.snapshots.view("v", store.chain(made)).path
    assert (path / "base").read_bytes() == b"12345"
    assert store.snapshots.layers.by_digest(digest) is not None


# docker rmi


def test_the_last_name_takes_the_image_with_it(store: Store) -> None:
    made = image(store, BASE, TOP, tags=("app",))
    chain = store.chain(made)
    assert store.delete("app") == [
        {"Untagged": "app:latest"},
        {"Deleted": made.id},
        {"Deleted": chain},
        {"Deleted": sha(BASE)},
    ]
    store.snapshots.close()
    assert store.list() == []
    assert list(store.content.digests()) == []
    assert list(store.snapshots.folders.root.iterdir()) == []
    assert not store.snapshots.has(chain)


def test_one_name_of_several(store: Store) -> None:
    made = image(store, BASE, tags=("app:1", "app:2"))
    assert store.delete("app:1") == [{"Untagged": "app:1"}]
    assert store.get(made.id).tags == ["app:2"]


def test_a_repository_s_digests_go_with_its_last_tag(store: Store) -> None:
    made = image(store, BASE, tags=("app",))
    store.add_digest(made.id, Reference.parse(f"app@{DIGEST}"))
    assert store.delete("app")[:3] == [
        {"Untagged": "app:latest"},
        {"Untagged": f"app@{DIGEST}"},
        {"Deleted": made.id},
    ]


def test_by_id(store: Store) -> None:
    made = image(store, BASE, tags=("app",))
    assert store.delete(made.id[7:15])[:2] == [{"Untagged": "app:latest"}, {"Deleted": made.id}]


def test_by_id_with_several_repositories(store: Store) -> None:
    made = image(store, BASE, tags=("app", "other"))
    with pytest.raises(Conflict) as caught:
        store.delete(made.id)
    assert str(caught.value) == (
        f"conflict: unable to delete {short(made)} (must be forced) - image is referenced in multiple repositories"
    )
    assert store.get("app").tags == ["app:latest", "other:latest"]
    assert store.delete(made.id, force=True)[:3] == [
        {"Untagged": "app:latest"},
        {"Untagged": "other:latest"},
        {"Deleted": made.id},
    ]


def test_an_image_with_children(store: Store) -> None:
    base = image(store, BASE, tags=("base",))
    child = image(store, BASE, TOP, parent=base.id, tags=("app",))
    with pytest.raises(Conflict) as caught:
        store.delete(base.id, force=True)
    assert str(caught.value) == (
        f"conflict: unable to delete {short(base)} (cannot be forced) - image has dependent child images"
    )
    assert store.delete("base") == [{"Untagged": "base:latest"}]
    assert store.children(base.id) == [child.id]


@pytest.mark.parametrize("prune", [True, False])
def test_parents_that_nothing_names_go_too(store: Store, prune: bool) -> None:
    base = image(store, BASE)
    middle = image(store, BASE, TOP, parent=base.id)
    top = image(store, BASE, TOP, OTHER, parent=middle.id, tags=("app",))
    store.chain(top)
    deleted = [record["Deleted"] for record in store.delete("app", prune=prune) if "Deleted" in record]
    images = [one for one in deleted if one in (base.id, middle.id, top.id)]
    assert images == ([top.id, middle.id, base.id] if prune else [top.id])
    assert len(deleted) == (6 if prune else 2)


def test_a_named_parent_stays(store: Store) -> None:
    base = image(store, BASE, tags=("base",))
    image(store, BASE, TOP, parent=base.id, tags=("app",))
    store.delete("app")
    assert [one.id for one in store.list()] == [base.id]


CONTAINER = "c" * 64


def user(made: StoredImage, running: bool) -> Callable[[str], InUse | None]:
    return lambda image_id: InUse(CONTAINER, running) if image_id == made.id else None


@pytest.mark.parametrize("running", [True, False])
def test_the_last_name_of_an_image_in_use(store: Store, running: bool) -> None:
    made = image(store, BASE, tags=("app",))
    with pytest.raises(Conflict) as caught:
        store.delete("app", in_use=user(made, running))
    assert str(caught.value) == (
        'conflict: unable to remove repository reference "app" (must force) - container cccccccccccc is using its '
        f"referenced image {short(made)}"
    )
    assert store.get("app").id == made.id


def test_forced_while_a_container_runs_only_the_name_goes(store: Store) -> None:
    made = image(store, BASE, tags=("app",))
    assert store.delete("app", force=True, in_use=user(made, True)) == [{"Untagged": "app:latest"}]
    assert store.get(made.id).tags == []


def test_forced_with_a_stopped_container(store: Store) -> None:
    made = image(store, BASE, tags=("app",))
    assert {"Deleted": made.id} in store.delete("app", force=True, in_use=user(made, False))


@pytest.mark.parametrize(
    ("running", "force", "words"),
    [
        (True, False, "(cannot be forced) - image is being used by running container cccccccccccc"),
        (True, True, "(cannot be forced) - image is being used by running container cccccccccccc"),
        (False, False, "(must be forced) - image is being used by stopped container cccccccccccc"),
    ],
)
def test_by_id_while_in_use(store: Store, running: bool, force: bool, words: str) -> None:
    made = image(store, BASE, tags=("app",))
    with pytest.raises(Conflict) as caught:
        store.delete(made.id, force=force, in_use=user(made, running))
    assert str(caught.value) == f"conflict: unable to delete {short(made)} {words}"
    assert store.get("app").id == made.id


def test_layers_that_another_image_has_stay(store: Store) -> None:
    image(store, BASE, TOP, tags=("app",))
    other = image(store, BASE, OTHER, tags=("other",))
    store.chain(store.get("app"))
    chain = store.chain(other)
    deleted = [record["Deleted"] for record in store.delete("app") if "Deleted" in record]
    assert deleted[1:] == [chain_id(sha(BASE), sha(TOP))]
    assert store.snapshots.has(chain)
    assert sorted(store.content.digests()) == sorted([sha(BASE), sha(OTHER)])
    assert (store.snapshots.view("v", chain).path / "base").exists()


def test_layers_that_a_container_or_the_build_cache_has_stay(store: Store) -> None:
    made = image(store, BASE, TOP, tags=("app",))
    chain = store.chain(made)
    store.snapshots.prepare("container", chain)
    store.snapshots.pin("cache", chain)
    assert store.delete("app", force=True) == [{"Untagged": "app:latest"}, {"Deleted": made.id}]
    store.snapshots.unpin("cache")
    assert (store.snapshots.mount("container").path / "top").exists()
    assert store.snapshots.has(chain)
    store.snapshots.remove("container")
    assert store.snapshots.sweep() == [chain, sha(BASE)]
    store.snapshots.close()
    assert not store.snapshots.has(chain)
    assert list(store.content.digests()) == []


def test_a_name_that_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound, match="No such image: nope:latest"):
        store.delete("nope")
