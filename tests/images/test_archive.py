"""docker load, docker save, docker import: every form of archive, good and bad."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from dockmagic.errors import DockmagicError, InvalidParameter, NotFound
from dockmagic.images import archive
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.manifest import (
    DOCKER_LAYER_GZIP,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)
from dockmagic.images.store import Store
from tests.images.samples import ARCHITECTURE, config_of, gz, noise, sha, tar_of, zst

TARS = [tar_of({"base": b"one"}), tar_of({"top": noise(3_000_000)})]
CONFIG = config_of(TARS)


class Pipe(io.RawIOBase):
    """A stream as a request's body is: no seeking, short reads."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._source = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._source.read(min(size or 0, 10_000) if size is not None and size >= 0 else -1)


def load(store: Store, data: bytes) -> list[str]:
    """Load; what was said in streams."""
    messages: list[dict[str, Any]] = []
    archive.load(store, Pipe(data), messages.append)  # type: ignore[arg-type]
    return [message["stream"] for message in messages if "stream" in message]


def packed(files: dict[str, bytes | str]) -> bytes:
    """A tar; a str is the target of a symbolic link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            if isinstance(data, str):
                header.type, header.linkname = tarfile.SYMTYPE, data
                tar.addfile(header)
            else:
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def docker_archive(names: list[str], **more: Any) -> dict[str, bytes | str]:
    listed = {"Config": "config.json", "RepoTags": names, "Layers": ["0/layer.tar", "1/layer.tar"], **more}
    return {
        "config.json": CONFIG,
        "0/VERSION": b"1.0",
        "0/layer.tar": TARS[0],
        "1/layer.tar": TARS[1],
        "manifest.json": json.dumps([listed]).encode(),
    }


def blob(data: bytes) -> dict[str, bytes | str]:
    return {f"blobs/sha256/{sha(data)[7:]}": data}


def descriptor(data: bytes, kind: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(data), "digest": sha(data), **more}


def manifest_of(config: bytes, layers: list[bytes], kind: str) -> bytes:
    document = {
        "schemaVersion": 2,
        "config": descriptor(config, OCI_CONFIG),
        "layers": [descriptor(layer, kind) for layer in layers],
    }
    return json.dumps(document).encode()


def layout(entries: list[dict[str, Any]], *blobs: bytes) -> bytes:
    files: dict[str, bytes | str] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    for data in blobs:
        files |= blob(data)
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return packed(files)


def contents(store: Store, name: str) -> list[bytes]:
    return [layer.open_tar().read() for layer in store.get(name).layers]


def nothing_is_left(store: Store) -> bool:
    return store.list() == [] and list(store.content.digests()) == []


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zst, lzma.compress, bz2.compress], ids=["plain", "gzip", "zstd", "xz", "bzip2"]
)
def test_a_docker_archive_however_it_is_packed(store: Store, pack: Callable[[bytes], bytes]) -> None:
    said = load(store, pack(packed(docker_archive(["tool:1", "lab.example/tool:2"]))))
    assert said == ["Loaded image: tool:1\n", "Loaded image: lab.example/tool:2\n"]
    assert store.get("tool:1").id == sha(CONFIG)
    assert contents(store, "lab.example/tool:2") == TARS


def test_layers_that_are_links_to_others(store: Store) -> None:
    files = docker_archive(["a:1"], Layers=["0/layer.tar", "2/layer.tar"])
    files["2/layer.tar"] = "../1/layer.tar"
    load(store, packed(files))
    assert contents(store, "a:1") == TARS


def test_packed_layers_in_a_docker_archive(store: Store) -> None:
    load(store, packed(docker_archive(["a:1"]) | {"0/layer.tar": gz(TARS[0]), "1/layer.tar": zst(TARS[1])}))
    assert contents(store, "a:1") == TARS


def test_an_image_without_a_name_is_loaded_by_its_id(store: Store) -> None:
    assert load(store, packed(docker_archive([]))) == [f"Loaded image ID: {sha(CONFIG)}\n"]


def test_an_image_that_loses_its_name_is_told(store: Store) -> None:
    load(store, packed(docker_archive(["a:1"])))
    other = docker_archive(["a:1"])
    other["config.json"] = config_of(TARS, author="x")
    assert load(store, packed(other)) == [
        f"The image a:1 already exists, renaming the old one with ID {sha(CONFIG)} to empty string\n",
        "Loaded image: a:1\n",
    ]
    assert load(store, packed(other)) == ["Loaded image: a:1\n"]


def test_several_images_share_their_layers(store: Store) -> None:
    files = docker_archive(["a:1"])
    second = config_of(TARS[:1])
    listed = json.loads(files["manifest.json"])
    listed.append({"Config": "b.json", "RepoTags": ["b:1"], "Layers": ["0/layer.tar"]})
    load(store, packed(files | {"b.json": second, "manifest.json": json.dumps(listed).encode()}))
    assert store.get("b:1").diff_ids == store.get("a:1").diff_ids[:1]


@pytest.mark.parametrize(
    ("pack", "kind"), [(bytes, OCI_LAYER), (gz, OCI_LAYER_GZIP), (zst, OCI_LAYER_ZSTD)], ids=["plain", "gzip", "zstd"]
)
def test_an_oci_layout(store: Store, pack: Callable[[bytes], bytes], kind: str) -> None:
    layers = [pack(tar) for tar in TARS]
    manifest = manifest_of(CONFIG, layers, kind)
    entry = descriptor(manifest, OCI_MANIFEST, annotations={"io.containerd.image.name": "docker.io/library/tool:1"})
    said = load(store, layout([entry], manifest, CONFIG, *layers))
    assert said == ["Loaded image: tool:1\n"]
    assert contents(store, "tool:1") == TARS


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"org.opencontainers.image.ref.name": "lab.example/x:3"}, "Loaded image: lab.example/x:3\n"),
        ({"org.opencontainers.image.ref.name": "latest"}, f"Loaded image ID: {sha(CONFIG)}\n"),
        ({}, f"Loaded image ID: {sha(CONFIG)}\n"),
    ],
)
def test_names_in_an_oci_layout(store: Store, annotations: dict[str, str], said: str) -> None:
    manifest = manifest_of(CONFIG, TARS, OCI_LAYER)
    entries = [descriptor(manifest, OCI_MANIFEST, annotations=annotations)]
    assert load(store, layout(entries, manifest, CONFIG, *TARS)) == [said]


def test_one_image_with_several_names_in_an_oci_layout(store: Store) -> None:
    manifest = manifest_of(CONFIG, TARS, OCI_LAYER)
    entries = [
        descriptor(manifest, OCI_MANIFEST, annotations={"io.containerd.image.name": f"docker.io/library/{name}"})
        for name in ("a:1", "b:2")
    ]
    load(store, layout(entries, manifest, CONFIG, *TARS))
    assert store.get("a:1").tags == ["a:1", "b:2"]


def test_a_manifest_list_gives_this_machines_image(store: Store) -> None:
    other = config_of(TARS[:1], architecture="s390x")
    ours, theirs = manifest_of(CONFIG, TARS, OCI_LAYER), manifest_of(other, TARS[:1], OCI_LAYER)
    statement = b'{"in": "toto"}'
    attestation = manifest_of(b"{}", [statement], "application/vnd.in-toto+json")
    inner = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [
                descriptor(theirs, OCI_MANIFEST, platform={"os": "linux", "architecture": "s390x"}),
                descriptor(ours, OCI_MANIFEST, platform={"os": "linux", "architecture": ARCHITECTURE}),
                descriptor(attestation, OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"}),
            ],
        }
    ).encode()
    entry = descriptor(inner, OCI_INDEX, annotations={"io.containerd.image.name": "docker.io/library/a:1"})
    whole = [inner, ours, theirs, attestation, statement, CONFIG, other, b"{}", *TARS]
    load(store, layout([entry], *whole))
    assert store.get("a:1").id == sha(CONFIG)
    without_ours = [data for data in whole if data not in (ours, CONFIG)]
    load(store, layout([entry], *without_ours))
    assert store.get("a:1").id == sha(other)


@pytest.mark.parametrize("pack", [bytes, gz, zst], ids=["plain", "gzip", "zstd"])
def test_what_is_saved_can_be_loaded(new_store: Callable[[str], Store], pack: Callable[[bytes], bytes]) -> None:
    here, there = new_store("here"), new_store("there")
    kind = {bytes: OCI_LAYER, gz: DOCKER_LAYER_GZIP, zst: OCI_LAYER_ZSTD}[pack]
    layers = [BlobLayer(here.content, *here.content.put(pack(tar)), kind, sha(tar)) for tar in TARS]
    image = here.add(CONFIG, layers)
    here.tag(image.id, "tool:1")
    here.tag(image.id, "lab.example/tool:2")
    said = load(there, b"".join(archive.save(here, ["tool:1", "lab.example/tool:2"])))
    assert said == ["Loaded image: tool:1\n", "Loaded image: lab.example/tool:2\n"]
    assert there.get("tool:1").id == image.id
    assert contents(there, "tool:1") == TARS


@pytest.fixture
def loaded(store: Store) -> Store:
    """A store with one image of three names."""
    load(store, packed(docker_archive(["tool:1", "tool:2", "other:1"])))
    return store


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        return {name: file.read() for name, file in found.items() if file is not None}


@pytest.mark.parametrize(
    ("names", "tags"),
    [
        (["tool:1"], ["tool:1"]),
        (["tool"], ["tool:1", "tool:2"]),
        (["other:1", "tool:2"], ["other:1", "tool:2"]),
        ([sha(CONFIG)], None),
        ([sha(CONFIG)[7:19]], None),
        ([sha(CONFIG), "tool:1"], ["tool:1"]),
    ],
)
def test_which_names_are_saved(loaded: Store, names: list[str], tags: list[str] | None) -> None:
    (listed,) = json.loads(members(b"".join(archive.save(loaded, names)))["manifest.json"])
    assert listed["RepoTags"] == tags


def test_a_saved_archive_is_an_oci_layout_too(loaded: Store) -> None:
    files = members(b"".join(archive.save(loaded, ["tool:1"])))
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/tool:1"
    for path, data in files.items():
        if path.startswith("blobs/"):
            assert path == f"blobs/sha256/{sha(data)[7:]}"
    manifest = json.loads(files[f"blobs/sha256/{entry['digest'][7:]}"])
    for wanted in [manifest["config"], *manifest["layers"]]:
        assert len(files[f"blobs/sha256/{wanted['digest'][7:]}"]) == wanted["size"]
    assert "tool" in json.loads(files["repositories"])


def test_saving_twice_gives_the_same_bytes(loaded: Store) -> None:
    assert b"".join(archive.save(loaded, ["tool"])) == b"".join(archive.save(loaded, ["tool"]))


def test_saving_what_is_not_there_fails_before_the_first_byte(loaded: Store) -> None:
    with pytest.raises(NotFound, match="No such image: none:latest"):
        archive.save(loaded, ["tool:1", "none"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no manifest.json and no index.json"),
        (b"no tar at all" * 100, "invalid tar header"),
        (packed({"etc/passwd": b"root"}), "docker import"),
        (packed({"manifest.json": b"["}), "no JSON"),
        (packed({"manifest.json": b"{}"}), "form"),
        (packed({"manifest.json": b"[7]"}), "without a config"),
        (packed({"manifest.json": b'[{"Config": "c.json"}]'}), "c.json is missing"),
        (packed({"index.json": b'{"manifests": [{"digest": "x"}]}'}), "descriptor"),
        (packed({"index.json": b'{"manifests": []}'}), "no image"),
        (packed({"manifest.json": "manifest.json"}), "no manifest.json"),
        (packed(docker_archive(["a:1"]))[:200_000], "unexpected EOF"),
        (gzip.compress(packed(docker_archive(["a:1"])))[:100_000], "unexpected EOF"),
        (packed(docker_archive(["a:1"]) | {"config.json": b"{}"}), "layers length mismatch"),
        (packed(docker_archive(["a:1"]) | {"1/layer.tar": TARS[0]}), "invalid diffID for layer 1"),
        (packed(docker_archive(["a:1"]) | {"1/layer.tar": gz(TARS[0])}), "layer content has digest"),
        (packed(docker_archive(["a:1"]) | {"1/layer.tar": gz(TARS[1])[:-50]}), "unexpected EOF"),
        (packed(docker_archive(["a:1"]) | {"1/layer.tar": lzma.compress(TARS[1])}), "packed with xz"),
        (packed(docker_archive(["A B:1"])), "invalid reference format"),
        (packed(docker_archive(["a:1"], Layers=["0/layer.tar", "../../etc/passwd"])), "is missing"),
        (packed({f"blobs/sha256/{'0' * 64}": b"x"}), "is not what its name says"),
        (packed({f"blobs/sha256/{'0' * 64}": TARS[1]}), "unexpected commit digest"),
        (packed({"blobs/sha256/../../../etc/cron.d/x": b"* * * * *", "manifest.json": b"[]x"}), "no JSON"),
    ],
)
def test_a_bad_archive_is_one_error_and_leaves_nothing(store: Store, data: bytes, message: str) -> None:
    with pytest.raises(DockmagicError, match=message) as raised:
        load(store, data)
    assert "\n" not in str(raised.value)
    assert nothing_is_left(store)


def test_a_bad_image_keeps_the_good_one_beside_it_out(store: Store) -> None:
    files = docker_archive(["a:1"])
    listed = [*json.loads(files["manifest.json"]), {"Config": "none.json", "RepoTags": ["b:1"], "Layers": []}]
    with pytest.raises(InvalidParameter):
        load(store, packed(files | {"manifest.json": json.dumps(listed).encode()}))
    assert nothing_is_left(store)


def test_a_bad_archive_does_not_touch_what_was_there(loaded: Store) -> None:
    with pytest.raises(DockmagicError):
        load(loaded, packed(docker_archive(["tool:1"]) | {"config.json": b"{}"}))
    assert contents(loaded, "tool:1") == TARS


def test_an_archive_of_too_many_files_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockmagic.images.archive.members._MEMBERS_LIMIT", 10)
    with pytest.raises(InvalidParameter, match="too many files"):
        load(store, packed({f"f{number}": b"" for number in range(20)}))


@pytest.mark.parametrize(
    "pack", [bytes, gz, zst, lzma.compress, bz2.compress], ids=["plain", "gzip", "zstd", "xz", "bzip2"]
)
def test_a_root_file_system_is_imported(store: Store, pack: Callable[[bytes], bytes]) -> None:
    image = archive.import_tar(
        store,
        Pipe(pack(TARS[1])),  # type: ignore[arg-type]
        "mine:1",
        config={"Cmd": ["sh"]},
        message="by hand",
        platform="linux/arm/v7",
    )
    assert image.tags == ["mine:1"]
    assert contents(store, "mine:1") == [TARS[1]]
    config = image.config
    assert config["config"] == {"Cmd": ["sh"]}
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm", "v7")
    assert config["history"][0]["comment"] == config["comment"] == "by hand"


@pytest.mark.parametrize("data", [b"no tar" * 200, gz(TARS[1])[:-30], TARS[1][:5000]])
def test_what_can_not_be_imported_leaves_nothing(store: Store, data: bytes) -> None:
    with pytest.raises(DockmagicError):
        archive.import_tar(store, io.BytesIO(data), "mine:1")
    assert nothing_is_left(store)
