"""Layers unpacked, roots made of them and layers made of roots: the same in every form."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic import ownership
from dockmagic.errors import Conflict, NotFound
from dockmagic.images.snapshots import LayerSnapshots
from tests.images import tars
from tests.images.forms import FORMS, Form, Hand, blob, each_form, unpack
from tests.images.isolation import can_make_user_namespaces, needs_root, open_folder
from tests.images.samples import sha
from tests.images.tars import WHEN, entry, folder, hardlink, symlink, tar

BASE = tar(
    folder("dir"),
    entry("dir/one", b"1"),
    entry("dir/two", b"2"),
    folder("dir/sub"),
    entry("dir/sub/deep", b"deep"),
    folder("etc"),
    entry("etc/conf", b"old", uid=0),
    entry("etc/same", b"same"),
    entry("etc/shadow", b"secret", uid=0, gid=42, mode=0o640),
    entry("gone", b"gone"),
    hardlink("linked", "gone"),
    folder("swap"),
    entry("swap/x", b"x"),
    symlink("way", "etc/conf"),
)
UPPER = tar(
    entry(".wh.linked"),
    folder("dir"),
    entry("dir/.wh.one"),
    folder("swap"),
    entry("swap/.wh..wh..opq"),
    entry("swap/y", b"y"),
)
CHANGES = [
    (0, "/dir"),
    (1, "/dir/other"),
    (2, "/dir/sub"),
    (2, "/dir/two"),
    (0, "/etc/conf"),
    (2, "/gone"),
    (1, "/new"),
    (1, "/new/again"),
    (1, "/new/file"),
    (1, "/new/way"),
    (0, "/swap"),
]
LAYER = [
    "dir",
    "dir/.wh..wh..opq",
    "dir/other",
    "etc",
    "etc/conf",
    ".wh.gone",
    "new",
    "new/again",
    "new/file",
    "new/way",
    "swap",
]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def change(root: Path) -> None:
    hand = Hand(root)
    hand.write("etc/conf", b"new", 0o600)
    hand.touch("etc/same")
    hand.remove("gone")
    hand.remove("dir")
    hand.mkdir("dir")
    hand.write("dir/other", b"other")
    hand.mkdir("new")
    hand.write("new/file", b"n" * 100_000)
    hand.link("new/again", "new/file")
    hand.symlink("new/way", "../etc/conf")
    hand.remove("swap")
    hand.write("swap", b"a file now")
    hand.done()


def hashes(snapshots: LayerSnapshots) -> dict[str, str]:
    """The content of every layer, as the disk has it."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        for path in sorted(snapshots.folders.root.rglob("*"))
    }


@each_form()
def test_what_is_written_becomes_a_layer(form: Form, tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        base = unpack(snapshots, BASE, UPPER)
        before = hashes(snapshots)
        committed = []
        for key in ("first", "second"):
            snapshot = snapshots.prepare(key, base)
            assert sorted(os.listdir(snapshot.path)) == ["dir", "etc", "gone", "swap", "way"]
            assert sorted(os.listdir(snapshot.path / "dir")) == ["sub", "two"]
            assert os.listdir(snapshot.path / "swap") == ["y"]
            change(snapshot.path)
            assert snapshots.changes(key) == CHANGES
            assert snapshots.usage(key) == 100_000 + len(b"new" + b"other" + b"a file now")
            seen = snapshots.diff(key)
            result = snapshots.commit(key)
            assert result is not None and seen is not None
            chain, layer = result
            assert seen.diff_id == layer.diff_id
            committed.append(layer.diff_id)
            assert snapshots.keys() == []
            with layer.open_tar() as stream:
                data = stream.read()
            assert sha(data) == layer.diff_id
            assert tars.names(data) == LAYER
            view = snapshots.view(key, chain)
            assert sorted(os.listdir(view.path)) == ["dir", "etc", "new", "swap", "way"]
            assert os.listdir(view.path / "dir") == ["other"]
            assert (view.path / "new/again").stat().st_ino == (view.path / "new/file").stat().st_ino
            assert (view.path / "etc/conf").read_bytes() == b"new"
            snapshots.remove(key)
        assert committed[0] == committed[1]
        assert {path: seen for path, seen in hashes(snapshots).items() if path in before} == before
        (tmp_path / "diff_id").write_text(committed[0])

    form.run(tmp_path, check)


@needs_root
def test_every_form_makes_the_same_layer(tmp_path: Path) -> None:
    ids: dict[str, str] = {}
    for name in FORMS:
        if name == "rootless" and not can_make_user_namespaces():
            continue

        def make(snapshots: LayerSnapshots, name: str = name) -> None:
            snapshot = snapshots.prepare("k", unpack(snapshots, BASE, UPPER))
            assert (snapshot.path.name == "merged") == (FORMS[name].overlay != "no")
            change(snapshot.path)
            result = snapshots.commit("k")
            assert result is not None
            (tmp_path / name / "diff_id").write_text(result[1].diff_id)

        (tmp_path / name).mkdir()
        FORMS[name].run(tmp_path / name, make)
        ids[name] = (tmp_path / name / "diff_id").read_text()
    assert len(set(ids.values())) == 1, ids


@each_form()
def test_nothing_written_is_no_layer(form: Form, tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        base = unpack(snapshots, BASE)
        snapshot = snapshots.prepare("k", base)
        Hand(snapshot.path).touch("etc/same")
        os.utime(snapshot.path / "etc", (WHEN, WHEN))
        assert snapshots.changes("k") == []
        assert snapshots.diff("k") is None
        assert snapshots.commit("k") is None
        assert snapshots.keys() == []

    form.run(tmp_path, check)


@each_form()
def test_a_new_name_of_an_old_file(form: Form, tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        base = unpack(snapshots, BASE)
        hand = Hand.on(snapshots.prepare("k", base))
        hand.link("swap/new", "dir/sub/deep")
        hand.done()
        assert snapshots.changes("k") == [(0, "/swap"), (1, "/swap/new")]
        result = snapshots.commit("k")
        assert result is not None
        with result[1].open_tar() as stream:
            found = [(item[0], item[6]) for item in tars.listing(stream.read())]
        assert found == [
            ("dir", ""), ("dir/sub", ""), ("dir/sub/deep", ""), ("swap", ""), ("swap/new", "dir/sub/deep"),
        ]  # fmt: skip
        path = snapshots.view("v", result[0]).path
        assert (path / "swap/new").stat().st_ino == (path / "dir/sub/deep").stat().st_ino

    form.run(tmp_path, check)


@each_form()
def test_on_nothing(form: Form, tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        snapshot = snapshots.prepare("k", "")
        hand = Hand(snapshot.path)
        hand.write("f", b"f")
        hand.done()
        result = snapshots.commit("k", epoch=1_000_000_000)
        assert result is not None
        chain, layer = result
        assert chain == layer.diff_id
        with layer.open_tar() as stream:
            assert [(item[0], item[5], item[7]) for item in tars.listing(stream.read())] == [("f", 10**9, b"f")]

    form.run(tmp_path, check)


@each_form()
def test_a_layer_of_its_own_form_gives_the_tar_it_came_from(form: Form, tmp_path: Path) -> None:
    """The unpacked layer holds all that its tar did: owners, modes, devices, whiteouts, opaque folders."""

    def check(snapshots: LayerSnapshots) -> None:
        unpack(snapshots, BASE, UPPER, DEVICES)
        for data in (BASE, UPPER, DEVICES):
            with snapshots.folders.tar(sha(data)) as stream:
                again = stream.read()
            assert sorted(tars.listing(again), key=str) == sorted(_plain(tars.listing(data)), key=str)

    form.run(tmp_path, check)


DEVICES = tar(
    folder("dev", mode=0o755),
    entry("dev/null", type=b"3", devmajor=1, devminor=3, mode=0o666),
    entry("dev/su", b"su", mode=0o4755, uid=1000, gid=1001),
    folder("dev/secret", mode=0o700, uid=33),
)


def _plain(items: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Our whiteouts carry neither mode nor time."""
    return [(*item[:2], 0, 0, 0, 0, *item[6:]) if "/.wh." in f"/{item[0]}" else item for item in items]


@needs_root
@pytest.mark.parametrize("name", ["links", "overlay"])
def test_a_tree_of_another_form_is_unpacked_again(name: str, tmp_path: Path) -> None:
    """A user's store that was made by one tier and is opened by another has right owners in both."""

    def make(snapshots: LayerSnapshots) -> None:
        snapshot = snapshots.prepare("k", unpack(snapshots, BASE))
        path = os.fspath(snapshot.path / "mine")
        Path(path).write_bytes(b"mine")
        os.chmod(path, 0o644)
        ownership.write(path, ownership.Recorded(1000, 1000, 0o100644))
        result = snapshots.commit("k")
        assert result is not None
        (tmp_path / "chain").write_text(result[0])

    def check(snapshots: LayerSnapshots) -> None:
        chain = (tmp_path / "chain").read_text()
        assert snapshots.has(chain)
        path = snapshots.view("v", chain).path
        assert (path / "mine").stat().st_uid == 1000
        assert (path / "etc/shadow").stat().st_gid == 42

    Form(mapping="single", copy_up=True).run(tmp_path, make)
    FORMS[name].run(tmp_path, check)


@needs_root
def test_hundreds_of_layers_in_one_mount(tmp_path: Path) -> None:
    count = 260

    def check(snapshots: LayerSnapshots) -> None:
        chain = unpack(snapshots, *[tar(entry(f"f{number}", b"x")) for number in range(count)])
        snapshot = snapshots.prepare("k", chain)
        assert snapshot.path.name == "merged"
        assert len(os.listdir(snapshot.path)) == count

    FORMS["overlay"].run(tmp_path, check)


@needs_root
@pytest.mark.parametrize("name", ["overlay", "userxattr"])
def test_volatile_roots(name: str, tmp_path: Path) -> None:
    """A volatile mount says so, and its root can be mounted again all the same."""

    def check(snapshots: LayerSnapshots) -> None:
        base = unpack(snapshots, BASE)
        for key, volatile in (("durable", False), ("volatile", True)):
            path = snapshots.prepare(key, base, volatile=volatile).path
            (path / "f").write_bytes(b"f")
            mounts = Path("/proc/self/mountinfo").read_text().splitlines()
            [mine] = [line for line in mounts if f" {path} " in line]
            assert ("volatile" in mine.rpartition(" - ")[2]) is volatile
        snapshots.close()
        assert (snapshots.mount("volatile").path / "f").read_bytes() == b"f"

    FORMS[name].run(tmp_path, check)


@needs_root
def test_a_clone_where_the_overlay_can_not_be_mounted(tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        snapshot = snapshots.prepare("k", unpack(snapshots, BASE))
        assert snapshot.path.name == "root"
        assert not snapshot.copy_on_write
        assert (snapshot.path / "etc/conf").read_bytes() == b"old"

    Form(FORMS["tracer"].before, overlay="", mapping="single").run(tmp_path, check)


@needs_root
def test_copies_share_nothing_with_the_layers(tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        base = unpack(snapshots, BASE)
        before = hashes(snapshots)
        snapshot = snapshots.prepare("k", base)
        (snapshot.path / "etc/conf").write_bytes(b"NEW")  # in place
        (snapshot.path / "gone").chmod(0o777)
        assert hashes(snapshots) == before
        assert snapshots.changes("k") == [(0, "/etc/conf"), (0, "/gone"), (0, "/linked")]

    FORMS["copies"].run(tmp_path, check)


@each_form()
def test_folders_without_an_entry_look_as_below(form: Form, tmp_path: Path) -> None:
    private = tar(folder("d", mode=0o700), entry("d/a", b"a"))
    public = tar(folder("d", mode=0o711), entry("d/a", b"b"))
    bare = tar(entry("d/b", b"b"))

    def check(snapshots: LayerSnapshots) -> None:
        for number, (base, mode) in enumerate(((private, 0o700), (public, 0o711), (private, 0o700))):
            path = snapshots.view(f"v{number}", unpack(snapshots, base, bare)).path
            assert (path / "d").stat().st_mode & 0o777 == mode
            assert sorted(os.listdir(path / "d")) == ["a", "b"]

    form.run(tmp_path, check)


@each_form()
def test_a_hard_link_to_the_layer_below(form: Form, tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        path = snapshots.view("v", unpack(snapshots, BASE, _without_target())).path
        assert (path / "again").read_bytes() == b"1"

    form.run(tmp_path, check)


def _without_target() -> bytes:
    return tar(hardlink("again", "dir/one"))


def test_keys(tmp_path: Path) -> None:
    snapshots = Form(mapping="single").open(tmp_path)
    with pytest.raises(NotFound):
        snapshots.prepare("k", "sha256:" + "1" * 64)
    with pytest.raises(NotFound):
        snapshots.mount("k")
    snapshots.prepare("k", "")
    with pytest.raises(Conflict):
        snapshots.prepare("k", "")
    snapshots.remove("k")
    snapshots.remove("k")
    snapshots.close()
    assert snapshots.keys() == os.listdir(tmp_path / "snapshots") == os.listdir(tmp_path / "trash") == []


def test_many_threads_unpack_the_same_layers_once(tmp_path: Path) -> None:
    snapshots = Form(mapping="single").open(tmp_path)
    layers = [blob(snapshots, data) for data in (BASE, UPPER, tar(entry("x", b"x")))]
    chains: list[str] = []
    start = threading.Barrier(6)

    def work() -> None:
        start.wait()
        chain = ""
        for layer in layers:
            chain = snapshots.unpack(chain, layer)
        chains.append(chain)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshots.close()
    assert len(chains) == 6 and len(set(chains)) == 1
    assert len(os.listdir(snapshots.folders.root)) == 3


@each_form()
def test_a_new_engine_finds_everything(form: Form, tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        base = unpack(snapshots, BASE)
        snapshot = snapshots.prepare("k", base)
        hand = Hand(snapshot.path)
        hand.write("f", b"kept")
        snapshots.close()
        again = form.open(tmp_path / "root")
        assert again.keys() == ["k"]
        assert again.has(base)
        assert (again.mount("k").path / "f").read_bytes() == b"kept"
        assert (1, "/f") in again.changes("k")
        again.close()

    form.run(tmp_path, check)


@each_form()
def test_export_is_the_whole_tree(form: Form, tmp_path: Path) -> None:
    def check(snapshots: LayerSnapshots) -> None:
        snapshots.prepare("k", unpack(snapshots, BASE, UPPER))
        data = b"".join(snapshots.export("k"))
        assert tars.names(data) == [
            "dir", "dir/sub", "dir/sub/deep", "dir/two", "etc", "etc/conf", "etc/same", "etc/shadow", "gone", "swap",
            "swap/y", "way",
        ]  # fmt: skip
        assert {item[4] for item in tars.listing(data) if item[0] == "etc/shadow"} == {42}

    form.run(tmp_path, check)
