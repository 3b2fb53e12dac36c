"""Pulling from a registry that behaves, and from one that breaks."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from dockmagic.errors import DockmagicError, InvalidParameter, NotFound, TooManyRequests
from dockmagic.images.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)
from dockmagic.images.registry import Registry, RegistryUnreachable
from dockmagic.images.registry.failures import BrokenTransfer
from dockmagic.images.registry.transport import Patience
from dockmagic.images.store import Store
from tests.images.fakeregistry import FakeRegistry, fake_registry
from tests.images.samples import ARCHITECTURE, config_of, gz, noise, sha, tar_of, zst

QUICK = Patience(attempts=4, backoff=0.0)
TARS = [tar_of({"base": b"one"}), tar_of({"top": b"two"})]
CONFIG = config_of(TARS)


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, (), (), patience=QUICK)


def said(messages: list[dict[str, Any]], identity: str) -> list[str]:
    """The states a layer went through, repetitions left out."""
    states = [message["status"] for message in messages if message.get("id") == identity]
    return [state for at, state in enumerate(states) if at == 0 or states[at - 1] != state]


def test_a_pull_says_what_docker_says(fake: FakeRegistry, registry: Registry) -> None:
    digest = fake.add_image("lab/tool", "1", CONFIG, [gz(tar) for tar in TARS])
    messages: list[dict[str, Any]] = []
    image = registry.pull(f"{fake.host}/lab/tool:1", progress=messages.append)
    assert image.id == sha(CONFIG)
    assert image.tags == [f"{fake.host}/lab/tool:1"]
    assert image.digests == [f"{fake.host}/lab/tool@{digest}"]
    assert messages[0] == {"status": "Pulling from lab/tool", "id": "1"}
    short = sha(gz(TARS[0]))[7:19]
    assert said(messages, short) == [
        *("Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete")
    ]
    assert messages[-2:] == [
        {"status": f"Digest: {digest}"},
        {"status": f"Status: Downloaded newer image for {fake.host}/lab/tool:1"},
    ]


def test_the_layers_hold_what_was_pushed(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])
    image = registry.pull(f"{fake.host}/a")
    assert [layer.diff_id for layer in image.layers] == [sha(tar) for tar in TARS]
    assert [layer.open_tar().read() for layer in image.layers] == TARS


def test_a_second_pull_asks_for_nothing_but_the_digest(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])
    registry.pull(f"{fake.host}/a")
    fake.requests.clear()
    messages: list[dict[str, Any]] = []
    registry.pull(f"{fake.host}/a", progress=messages.append)
    assert messages[-1] == {"status": f"Status: Image is up to date for {fake.host}/a:latest"}
    assert not fake.asked("GET", "/manifests/")
    assert not fake.asked("GET", "/blobs/")


def test_a_shared_base_is_not_pulled_again(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", config_of(TARS[:1]), [gz(TARS[0])])
    fake.add_image("b", "latest", CONFIG, [gz(tar) for tar in TARS])
    registry.pull(f"{fake.host}/a")
    messages: list[dict[str, Any]] = []
    registry.pull(f"{fake.host}/b", progress=messages.append)
    assert said(messages, sha(gz(TARS[0]))[7:19]) == ["Pulling fs layer", "Already exists"]
    assert len(fake.asked("GET", f"/blobs/{sha(gz(TARS[0]))}")) == 1


def test_a_pull_by_digest_is_verified(fake: FakeRegistry, registry: Registry) -> None:
    digest = fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])
    image = registry.pull(f"{fake.host}/a@{digest}")
    assert image.tags == []
    assert image.digests == [f"{fake.host}/a@{digest}"]
    other = "sha256:" + "0" * 64
    fake.manifests["a", other] = fake.manifests["a", digest]
    with pytest.raises(DockmagicError, match=f"manifest verification failed for digest {other}"):
        registry.pull(f"{fake.host}/a@{other}")


def test_only_a_few_layers_download_at_once_and_the_others_wait(fake: FakeRegistry, registry: Registry) -> None:
    tars = [tar_of({f"f{number}": noise(1000, number)}) for number in range(6)]
    fake.add_image("a", "latest", config_of(tars), [gz(tar) for tar in tars])
    messages: list[dict[str, Any]] = []
    registry.pull(f"{fake.host}/a", progress=messages.append)
    waiting = [message["id"] for message in messages if message["status"] == "Waiting"]
    assert waiting == [sha(gz(tar))[7:19] for tar in tars[3:]]


def test_a_layer_with_the_wrong_bytes_leaves_no_image(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])
    bad = sha(gz(TARS[1]))
    fake.blobs["a", bad] = gz(tar_of({"evil": b"x"}))[: len(gz(TARS[1]))].ljust(len(gz(TARS[1])), b"\0")
    with pytest.raises(DockmagicError, match=f"filesystem layer verification failed for digest {bad}"):
        registry.pull(f"{fake.host}/a")
    assert store.list() == []
    assert not store.content.has(bad)


def test_a_config_with_the_wrong_bytes_is_refused(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])
    fake.blobs["a", sha(CONFIG)] = CONFIG.replace(b"sh", b"xx")
    with pytest.raises(DockmagicError, match="image config verification failed"):
        registry.pull(f"{fake.host}/a")


def test_a_layer_that_is_not_the_configs_is_refused(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(TARS[0]), gz(tar_of({"other": b"x"}))])
    with pytest.raises(DockmagicError):
        registry.pull(f"{fake.host}/a")
    assert store.list() == []


def test_a_broken_download_goes_on_where_it_broke(fake: FakeRegistry, registry: Registry) -> None:
    tar = tar_of({"big": noise(2_000_000)})
    fake.add_image("a", "latest", config_of([tar]), [gz(tar)])
    fake.break_blob_after = [10_000_000, 600_000, 0, 500_000]  # the first is the config's
    messages: list[dict[str, Any]] = []
    image = registry.pull(f"{fake.host}/a", progress=messages.append)
    assert image.layers[0].open_tar().read() == tar
    ranges = [headers["Range"] for headers in fake.asked("GET", sha(gz(tar))) if "Range" in headers]
    assert ranges == ["bytes=600000-", "bytes=600000-", "bytes=1100000-"]
    assert "Retrying in 1 second" in [message["status"] for message in messages]


def test_a_registry_without_ranges_is_read_past(fake: FakeRegistry, registry: Registry) -> None:
    tar = tar_of({"big": noise(1_000_000)})
    fake.add_image("a", "latest", config_of([tar]), [gz(tar)])
    fake.ignore_ranges = True
    fake.break_blob_after = [10_000_000, 600_000]
    assert registry.pull(f"{fake.host}/a").layers[0].open_tar().read() == tar


def test_what_arrived_before_a_failure_is_not_asked_for_again(fake: FakeRegistry, registry: Registry) -> None:
    tar = tar_of({"big": noise(2_000_000)})
    fake.add_image("a", "latest", config_of([tar]), [gz(tar)])
    fake.break_blob_after = [10_000_000, 900_000, 0, 0, 0, 0, 0]
    with pytest.raises(BrokenTransfer, match="unexpected EOF"):
        registry.pull(f"{fake.host}/a")
    fake.requests.clear()
    fake.break_blob_after = []
    registry.pull(f"{fake.host}/a")
    (headers,) = fake.asked("GET", sha(gz(tar)))
    assert headers["Range"] == "bytes=900000-"


def test_a_server_error_is_tried_again_and_then_told(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])
    left = [3]

    def answer(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if "/manifests/" in path and left[0]:
            left[0] -= 1
            return 503, {}, b"<html>busy</html>"
        return None

    fake.answer = answer
    registry.pull(f"{fake.host}/a")
    left[0] = 1000
    with pytest.raises(DockmagicError, match="received unexpected HTTP status: 503 Service Unavailable"):
        registry.pull(f"{fake.host}/a")


def test_the_first_failure_ends_the_other_downloads(fake: FakeRegistry, registry: Registry) -> None:
    tars = [tar_of({f"f{number}": noise(300_000, number)}) for number in range(8)]
    fake.add_image("a", "latest", config_of(tars), [gz(tar) for tar in tars])
    del fake.blobs["a", sha(gz(tars[0]))]
    with pytest.raises(NotFound, match="blob unknown"):
        registry.pull(f"{fake.host}/a")
    assert len({path for _, path, _ in fake.requests if "/blobs/" in path}) < 8


def test_a_client_that_goes_away_ends_the_pull(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])

    def gone(message: dict[str, Any]) -> None:
        if message["status"] == "Downloading":
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        registry.pull(f"{fake.host}/a", progress=gone)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("pull")]


@pytest.mark.parametrize(("pack", "kind"), [(gz, OCI_LAYER_GZIP), (zst, OCI_LAYER_ZSTD)])
def test_oci_manifests_and_zstd_layers(fake: FakeRegistry, registry: Registry, pack: Any, kind: str) -> None:
    layers = [pack(tar) for tar in TARS]
    document = {
        "schemaVersion": 2,
        "config": {"mediaType": OCI_CONFIG, "size": len(CONFIG), "digest": fake.add_blob("a", CONFIG)},
        "layers": [{"mediaType": kind, "size": len(x), "digest": fake.add_blob("a", x)} for x in layers],
    }
    fake.add_manifest("a", "latest", document, OCI_MANIFEST)
    image = registry.pull(f"{fake.host}/a")
    assert [layer.media_type for layer in image.layers] == [kind, kind]
    assert [layer.open_tar().read() for layer in image.layers] == TARS


@pytest.mark.parametrize("kind", [DOCKER_INDEX, OCI_INDEX])
def test_an_index_gives_this_machines_image(fake: FakeRegistry, registry: Registry, kind: str) -> None:
    other = config_of(TARS[:1], architecture="s390x")
    entries = [{"digest": "sha256:" + "1" * 64, "platform": {"os": "unknown", "architecture": "unknown"}}]
    for architecture, config, tars in (("s390x", other, TARS[:1]), (ARCHITECTURE, CONFIG, TARS)):
        digest = fake.add_image("a", "", config, [gz(tar) for tar in tars])
        entries.append({"digest": digest, "platform": {"os": "linux", "architecture": architecture}})
    manifests = [{"mediaType": OCI_MANIFEST, "size": 1, **entry} for entry in entries]
    top = fake.add_manifest("a", "latest", {"schemaVersion": 2, "manifests": manifests}, kind)
    image = registry.pull(f"{fake.host}/a")
    assert image.id == sha(CONFIG)
    assert image.digests == [f"{fake.host}/a@{top}"]
    assert registry.pull(f"{fake.host}/a", "linux/s390x").id == sha(other)
    assert registry.pull(f"{fake.host}/a").id == sha(CONFIG)
    with pytest.raises(NotFound, match=r"no matching manifest for linux/ppc64le in the manifest list entries"):
        registry.pull(f"{fake.host}/a", "linux/ppc64le")


def test_an_image_of_another_platform_is_taken_with_a_warning(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", config_of(TARS, architecture="s390x"), [gz(tar) for tar in TARS])
    messages: list[dict[str, Any]] = []
    registry.pull(f"{fake.host}/a", "linux/amd64", progress=messages.append)
    assert messages[-1]["status"] == (
        f"WARNING: image with reference {fake.host}/a:latest was found but does not match the specified platform: "
        "wanted linux/amd64, actual: linux/s390x"
    )


def test_a_config_without_bounds_is_refused(fake: FakeRegistry, registry: Registry) -> None:
    fake.add_image("a", "latest", CONFIG, [gz(tar) for tar in TARS])
    document = json.loads(fake.manifests["a", "latest"][0])
    for size in (0, -1, 1 << 40):
        document["config"]["size"] = size
        fake.add_manifest("a", "latest", document, DOCKER_MANIFEST)
        with pytest.raises(InvalidParameter, match="the image's config must have"):
            registry.pull(f"{fake.host}/a")


def test_all_tags_are_pulled_page_by_page(fake: FakeRegistry, registry: Registry, store: Store) -> None:
    for tag in ("1", "2", "3"):
        fake.add_image("a", tag, config_of(TARS, author=tag), [gz(tar) for tar in TARS])
    registry.pull(f"{fake.host}/a", all_tags=True)
    assert sorted(tag for image in store.list() for tag in image.tags) == [f"{fake.host}/a:{tag}" for tag in "123"]


def test_schema_1_is_refused_in_words(fake: FakeRegistry, registry: Registry) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    fake.add_manifest("a", "latest", {"schemaVersion": 1, "name": "a"}, kind)
    with pytest.raises(InvalidParameter, match="schema 1 are not supported"):
        registry.pull(f"{fake.host}/a")


def test_what_is_no_image_is_refused(fake: FakeRegistry, registry: Registry) -> None:
    chart = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "size": 2, "digest": fake.add_blob("a", b"{}")}
    fake.add_manifest("a", "latest", {"schemaVersion": 2, "config": chart, "layers": []}, OCI_MANIFEST)
    with pytest.raises(InvalidParameter, match=r"unsupported media type application/vnd\.cncf\.helm"):
        registry.pull(f"{fake.host}/a")
    fake.add_manifest("a", "latest", b"<html>", "text/html")
    with pytest.raises(InvalidParameter, match="no JSON"):
        registry.pull(f"{fake.host}/a")


def test_an_unknown_tag_is_told_in_dockers_words(fake: FakeRegistry, registry: Registry) -> None:
    with pytest.raises(NotFound) as raised:
        registry.pull(f"{fake.host}/lab/none:9")
    assert str(raised.value) == f"manifest for {fake.host}/lab/none:9 not found: manifest unknown: manifest unknown"


def test_the_rate_limit_says_what_to_do(fake: FakeRegistry, registry: Registry) -> None:
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]})
    fake.answer = lambda method, path: (429, {}, body.encode()) if "/manifests/" in path else None
    with pytest.raises(TooManyRequests) as raised:
        registry.pull(f"{fake.host}/a")
    assert str(raised.value).startswith("toomanyrequests: You have reached your pull rate limit.")
    assert "docker login" in str(raised.value)
    assert "DOCKMAGIC_REGISTRY_MIRRORS" in str(raised.value)
    assert len(fake.asked("GET", "/manifests/")) == 1


def test_a_mirror_serves_docker_io(fake: FakeRegistry, store: Store) -> None:
    fake.add_image("library/alpine", "latest", CONFIG, [gz(tar) for tar in TARS])
    image = Registry(store, [fake.url], (), patience=QUICK).pull("alpine")
    assert image.tags == ["alpine:latest"]
    assert image.digests[0].startswith("alpine@sha256:")


def test_the_second_mirror_is_asked_when_the_first_has_not_the_image(fake: FakeRegistry, store: Store) -> None:
    fake.add_image("library/alpine", "latest", CONFIG, [gz(tar) for tar in TARS])
    with fake_registry() as empty:
        messages: list[dict[str, Any]] = []
        registry = Registry(store, [empty.host, "127.0.0.1:9", fake.host], (), patience=QUICK)
        registry.pull("alpine", progress=messages.append)
        assert empty.asked("GET", "/v2/library/alpine/manifests/latest")
    assert [message for message in messages if message["status"].startswith("Pulling from")] == [
        {"status": "Pulling from library/alpine", "id": "latest"}
    ]


def test_a_login_at_docker_io_is_not_shown_to_a_mirror(fake: FakeRegistry, store: Store) -> None:
    fake.auth, fake.users = "bearer", {"me": "hub-secret"}
    fake.add_image("library/alpine", "latest", CONFIG, [gz(tar) for tar in TARS])
    registry = Registry(store, [fake.url], (), patience=QUICK)
    registry.pull("alpine", auth={"username": "me", "password": "hub-secret"})
    assert all("Authorization" not in headers for headers in fake.asked("GET", "/token"))


def test_without_any_registry_the_error_names_what_works(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(store, ["http://127.0.0.1:9"], (), patience=QUICK)
    monkeypatch.setattr(registry.endpoints, "pushing", lambda domain: [])
    with pytest.raises(RegistryUnreachable) as raised:
        registry.pull("debian")
    text = str(raised.value)
    assert 'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused' in text
    assert "hello-world and dockmagic/host" in text


def test_an_unknown_host_is_told_in_dockers_words(registry: Registry) -> None:
    with pytest.raises(RegistryUnreachable) as raised:
        registry.pull("registry.invalid/a")
    assert 'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: ' in str(raised.value)


def test_inspecting_a_name_in_the_registry(fake: FakeRegistry, registry: Registry) -> None:
    digest = fake.add_image("a", "latest", config_of(TARS, architecture="arm64", variant="v8"), [gz(x) for x in TARS])
    found = registry.distribution_inspect(f"{fake.host}/a")
    assert found["Descriptor"]["digest"] == digest
    assert found["Platforms"] == [{"architecture": "arm64", "os": "linux", "variant": "v8"}]
    entry = {"mediaType": OCI_MANIFEST, "size": 1, "digest": digest, "platform": {"os": "linux", "architecture": "x"}}
    fake.add_manifest("a", "many", {"schemaVersion": 2, "manifests": [entry]}, OCI_INDEX)
    assert registry.distribution_inspect(f"{fake.host}/a:many")["Platforms"] == [entry["platform"]]
