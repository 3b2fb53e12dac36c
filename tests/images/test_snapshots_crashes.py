"""Snapshots after kills, full disks and broken layers: the last whole state, and nothing half-made."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic.database import Database
from dockmagic.errors import DockmagicError, InvalidParameter
from dockmagic.images.blobs import BlobLayer
from dockmagic.images.content import Content
from dockmagic.images.manifest import OCI_LAYER
from dockmagic.images.snapshots import open_snapshots, trash
from tests.images.forms import Form, blob, unpack
from tests.images.isolation import in_child, needs_root, open_folder, own_mounts
from tests.images.samples import sha
from tests.images.tars import entry, tar
from tests.images.test_snapshots import BASE


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_a_layer_that_is_not_what_it_says_leaves_nothing(tmp_path: Path) -> None:
    snapshots = Form(mapping="single").open(tmp_path)
    digest, size = snapshots.content.put(BASE)
    wrong = BlobLayer(snapshots.content, digest, size, OCI_LAYER, "sha256:" + "1" * 64)
    with pytest.raises(InvalidParameter, match="expected sha256:1111"):
        snapshots.unpack("", wrong)
    with pytest.raises(InvalidParameter):
        snapshots.unpack("", blob(snapshots, BASE[:2000]))
    assert os.listdir(snapshots.folders.root) == []
    assert not snapshots.has(wrong.diff_id)


def test_what_a_crash_left_goes(tmp_path: Path) -> None:
    first = Form(mapping="single").open(tmp_path)
    base = unpack(first, BASE)
    first.prepare("good", base)
    first.prepare("half", base)
    (tmp_path / "snapshots/2/stamp").unlink()  # a clone that was never whole
    (tmp_path / "snapshots/77").mkdir()
    (tmp_path / "layers/77").mkdir()
    (tmp_path / "layers/new-1").mkdir()
    (tmp_path / "layers/new-1/f").write_bytes(b"x")
    (tmp_path / "trash/old").mkdir()
    again = Form(mapping="single").open(tmp_path)
    again.close()
    assert again.keys() == ["good"]
    assert os.listdir(tmp_path / "snapshots") == ["1"]
    assert os.listdir(tmp_path / "layers") == ["1"]
    assert os.listdir(tmp_path / "trash") == []


def test_a_layer_whose_folder_is_lost_is_unpacked_again(tmp_path: Path) -> None:
    first = Form(mapping="single").open(tmp_path)
    base = unpack(first, BASE)
    os.rename(tmp_path / "layers/1", tmp_path / "away")
    again = Form(mapping="single").open(tmp_path)
    assert (again.view("v", base).path / "etc/conf").read_bytes() == b"old"


@pytest.mark.parametrize("point", ["rename", "utime", "mkdir"])
def test_killed_while_unpacking(point: str, tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        snapshots = Form(mapping="single").open(tmp_path)
        layer = blob(snapshots, BASE)
        setattr(os, point, lambda *args, **options: os._exit(9))
        snapshots.unpack("", layer)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    again = Form(mapping="single").open(tmp_path)
    assert not again.has(sha(BASE))
    again.close()
    assert os.listdir(tmp_path / "layers") == []
    assert sorted(os.listdir(again.view("v", unpack(again, BASE)).path)) == [
        "dir", "etc", "gone", "linked", "swap", "way",
    ]  # fmt: skip


@needs_root
def test_a_full_disk_leaves_the_last_whole_state(tmp_path: Path) -> None:
    noise = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(256))

    def check() -> None:
        own_mounts()
        (tmp_path / "small").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path / "small")], check=True)
        content, database = Content(tmp_path), Database(tmp_path / "state.db")
        snapshots = open_snapshots(tmp_path / "small", content, database, overlay="no", id_mapping="host")
        base = unpack(snapshots, tar(entry("f", noise * 80)))
        big = tar(*[entry(f"f{number}", noise * 10) for number in range(10)])
        with pytest.raises(DockmagicError, match="no space left on device"):
            snapshots.unpack("", blob(snapshots, big))
        with pytest.raises(DockmagicError, match="no space left on device"):
            snapshots.prepare("k", base)
        snapshots.close()
        assert os.listdir(tmp_path / "small/layers") == ["1"]
        assert (
            os.listdir(tmp_path / "small/snapshots") == os.listdir(tmp_path / "small/trash") == snapshots.keys() == []
        )
        assert snapshots.has(base) and not snapshots.has(sha(big))

    in_child(check)


def test_the_trash_empties_trees_that_forbid_it(tmp_path: Path) -> None:
    bin = trash.Trash(tmp_path / "trash")
    (tmp_path / "tree/closed").mkdir(parents=True)
    (tmp_path / "tree/closed/f").write_bytes(b"")
    (tmp_path / "tree/closed").chmod(0)
    bin.throw(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    bin.close()
    assert os.listdir(tmp_path / "trash") == []
