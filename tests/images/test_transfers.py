"""What a pull has unpacked stays until its image is there, and goes when it never comes."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

import pytest

from dockmagic.errors import DockmagicError, NotFound
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.manifest import OCI_LAYER
from dockmagic.images.registry import Registry
from dockmagic.images.registry.failures import BrokenTransfer, Cancelled
from dockmagic.images.registry.parallel import together
from dockmagic.images.registry.transport import Patience
from dockmagic.images.store import Store
from dockmagic.images.transfers import forget_interrupted, transfer
from tests.images.fakeregistry import FakeRegistry
from tests.images.samples import config_of, gz, noise, sha, tar_of

TARS = [tar_of({"base": b"one"}), tar_of({"top": noise(200_000)})]


def layer_of(store: Store, tar: bytes) -> BlobLayer:
    digest, size = store.content.put(tar)
    return BlobLayer(store.content, digest, size, OCI_LAYER, sha(tar))


def test_what_no_image_has_at_the_end_goes(store: Store) -> None:
    with transfer(store) as keeping:
        chain = keeping.unpack("", layer_of(store, TARS[0]))
        assert store.snapshots.has(chain)
    assert not store.snapshots.has(chain)
    assert list(store.content.digests()) == []


def test_what_an_image_has_stays(store: Store) -> None:
    with transfer(store) as keeping:
        layer = layer_of(store, TARS[0])
        chain = keeping.unpack("", layer)
        store.add(config_of(TARS[:1]), [layer])
    assert store.snapshots.has(chain)


def test_another_images_deletion_takes_nothing_away_meanwhile(store: Store) -> None:
    layer = layer_of(store, TARS[0])
    image = store.add(config_of(TARS[:1]), [layer])
    store.tag(image.id, "a:1")
    with transfer(store) as keeping:
        chain = keeping.unpack("", layer)
        store.delete("a:1")
        assert store.snapshots.has(chain)
        store.add(config_of(TARS[:1], author="other"), [layer])
    assert store.snapshots.has(chain)


def test_a_crash_in_the_middle_is_tidied_up(store: Store) -> None:
    keeping = transfer(store)
    chain = keeping.__enter__().unpack("", layer_of(store, TARS[0]))  # and never ended, as by kill -9
    kept = store.add(config_of(TARS[1:]), [layer_of(store, TARS[1])])
    store.content.put(b"downloaded, but not unpacked")
    forget_interrupted(store)
    assert not store.snapshots.has(chain)
    assert list(store.content.digests()) == [sha(TARS[1])]
    assert store.get(kept.id).layers[0].open_tar().read() == TARS[1]
    with pytest.raises(NotFound):
        store.content.open(sha(TARS[0]))


def test_a_failed_pull_leaves_no_layers(fake: FakeRegistry, store: Store) -> None:
    fake.add_image("a", "latest", config_of(TARS), [gz(tar) for tar in TARS])
    del fake.blobs["a", sha(gz(TARS[1]))]
    with pytest.raises(DockmagicError):
        Registry(store, (), (), patience=Patience(attempts=1)).pull(f"{fake.host}/a")
    assert not store.snapshots.has(sha(TARS[0]))


def test_pulls_of_one_image_at_once_download_it_once(fake: FakeRegistry, store: Store) -> None:
    fake.add_image("a", "latest", config_of(TARS), [gz(tar) for tar in TARS])
    registry = Registry(store, (), ())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        ids = {image.id for image in pool.map(lambda _: registry.pull(f"{fake.host}/a"), range(4))}
    assert ids == {sha(config_of(TARS))}
    assert [len(fake.asked("GET", sha(gz(tar)))) for tar in TARS] == [1, 1]


def test_the_failure_that_came_first_is_told() -> None:
    stop = threading.Event()

    def given_up() -> None:
        stop.wait(10)
        raise Cancelled

    def fails() -> None:
        raise BrokenTransfer("the cause")

    def run() -> Any:
        with together(2, "test", stop) as submit:
            first, _ = submit(given_up), submit(fails)
            first.result()

    with pytest.raises(BrokenTransfer, match="the cause"):
        run()
