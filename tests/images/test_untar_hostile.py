"""Archives made to harm: nothing outside the folder is reached, and what is wrong is one clear error."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic.errors import DockmagicError, InvalidParameter
from dockmagic.images import tarreader
from dockmagic.images.untar import Unpacked, untar
from tests.images import tars
from tests.images.tars import entry, folder, hardlink, symlink, tar


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def unpack(root: Path, *entries: tuple[tarfile.TarInfo, bytes], layer: bool = False) -> Unpacked:
    return untar(io.BytesIO(tar(*entries)), root, layer=layer)


def outside(root: Path) -> dict[str, tuple[object, ...]]:
    return tars.tree(root.parent / "outside")


UNTOUCHED = {"secret": ("file", 0o644, b"secret")}


@pytest.mark.parametrize("name", ["../outside/secret", "a/../../outside/secret", "..", "a/..", "/../outside/x"])
def test_names_that_climb(root: Path, name: str) -> None:
    with pytest.raises(InvalidParameter):
        unpack(root, entry(name, b"evil"))
    assert outside(root) == UNTOUCHED


def test_absolute_names_are_inside(root: Path) -> None:
    unpack(root, entry("/etc/passwd", b"x"), entry(".//./etc//./group", b"y"))
    assert sorted(os.listdir(root / "etc")) == ["group", "passwd"]


@pytest.mark.parametrize("target", ["../outside", "/outside", "../../../../../../outside", "/proc/self/root"])
def test_links_lead_nowhere_but_inside(root: Path, target: str) -> None:
    unpack(root, symlink("way", target), entry("way/secret", b"evil"))
    assert outside(root) == UNTOUCHED
    found = [path for path in root.rglob("secret") if not path.is_symlink()]
    assert [path.read_bytes() for path in found] == [b"evil"]
    assert all(path.resolve().is_relative_to(root) for path in found)


def test_a_link_is_replaced_not_written_through(root: Path) -> None:
    unpack(root, symlink("f", "../outside/secret"), entry("f", b"evil"))
    assert outside(root) == UNTOUCHED
    assert (root / "f").read_bytes() == b"evil"


def test_a_folder_is_not_made_through_a_link(root: Path) -> None:
    unpack(root, symlink("d", "../outside"), folder("d", mode=0o700), entry("d/x", b"x"))
    assert outside(root) == UNTOUCHED
    assert not (root / "d").is_symlink()


def test_links_that_go_round(root: Path) -> None:
    with pytest.raises(InvalidParameter):
        unpack(root, symlink("a", "b"), symlink("b", "a"), entry("a/x", b""))


@pytest.mark.parametrize("target", ["../outside/secret", "/../outside/secret", "way/secret", "nowhere", ".", "d"])
def test_hard_links_stay_inside(root: Path, target: str) -> None:
    with pytest.raises(InvalidParameter):
        unpack(root, folder("d"), symlink("way", "../outside"), hardlink("f", target))
    assert outside(root) == UNTOUCHED


def test_a_hard_link_to_itself(root: Path) -> None:
    with pytest.raises(InvalidParameter):
        unpack(root, entry("f", b"1"), hardlink("f", "./f"))


def test_a_hard_link_to_a_link_is_that_link(root: Path) -> None:
    unpack(root, symlink("way", "../outside/secret"), hardlink("f", "way"))
    assert os.readlink(root / "f") == "../outside/secret"


def test_later_entries_replace_earlier_ones(root: Path) -> None:
    unpack(
        root,
        entry("f", b"old"),
        folder("d"),
        entry("d/x", b"x"),
        entry("f", b"new"),
        symlink("d", "f"),
        folder("e"),
        entry("e/keep", b"k"),
        folder("e", mode=0o700),
    )
    assert tars.tree(root) == {
        "f": ("file", 0o644, b"new"),
        "d": ("link", "f"),
        "e": ("folder", 0o700),
        "e/keep": ("file", 0o644, b"k"),
    }


def test_a_file_where_a_folder_is_needed(root: Path) -> None:
    with pytest.raises(InvalidParameter):
        unpack(root, entry("f", b""), entry("f/x", b""))


def test_sparse_files_are_refused_clearly(root: Path) -> None:
    with pytest.raises(InvalidParameter, match="sparse"):
        unpack(root, entry("f", b"", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}))


@pytest.mark.parametrize(
    "name", ["x" * 300, "/".join(["d" * 200] * 30), "a/" * 400 + "f"], ids=["name", "path", "depth"]
)
def test_names_longer_than_the_kernel_takes(root: Path, name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"(?i)name too long"):
        unpack(root, entry(name, b"x"))


def test_whiteouts_are_told_not_made(root: Path) -> None:
    found = unpack(
        root,
        folder("d"),
        entry("d/.wh.gone"),
        entry("d/.wh..wh..opq"),
        entry(".wh.top"),
        entry(".wh..wh.plnk"),
        entry("new/.wh.x"),
        layer=True,
    )
    assert found.whiteouts == ["d/gone", "new/x", "top"]
    assert found.opaque == ["d"]
    assert found.implicit == ["new"]
    assert sorted(tars.tree(root)) == ["d", "new"]


def test_a_whiteout_of_what_the_layer_has_hides_what_is_below_only(root: Path) -> None:
    found = unpack(root, entry(".wh.f"), entry("f", b"f"), folder("d"), entry("d/x", b""), entry(".wh.d"), layer=True)
    assert (found.whiteouts, found.opaque) == ([], ["d"])
    assert sorted(tars.tree(root)) == ["d", "d/x", "f"]


@pytest.mark.parametrize("name", [".wh...", ".wh..", "d/.wh..."])
def test_whiteouts_of_dots(root: Path, name: str) -> None:
    with pytest.raises(InvalidParameter):
        unpack(root, entry(name), layer=True)


GOOD = tar(folder("d"), entry("d/f", b"x" * 3000, uid=3_000_000), symlink("l", "y" * 120), hardlink("h", "d/f"))


@pytest.mark.parametrize("length", range(1, len(GOOD.rstrip(b"\0")), 397))
def test_an_archive_cut_short(root: Path, length: int) -> None:
    if length % 512 == 0:
        pytest.skip("cut between two entries an archive is whole")
    with pytest.raises(InvalidParameter):
        untar(io.BytesIO(GOOD[:length]), root)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_harmless_or_an_error(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    broken = bytearray(GOOD)
    broken[at] ^= flip
    top = tmp_path_factory.mktemp("flip")
    (top / "root").mkdir()
    try:
        untar(io.BytesIO(bytes(broken)), top / "root")
    except InvalidParameter as error:
        assert "\n" not in str(error)
    assert os.listdir(top) == ["root"]


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=1600))
def test_any_bytes_are_an_error_or_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.mktemp("any")
    try:
        untar(io.BytesIO(data), root)
    except InvalidParameter:
        pass
    assert os.listdir(root) == []


def _header(**changes: bytes) -> bytes:
    """A header with some fields replaced, its checksum right again."""
    at = {"size": (124, 12), "mtime": (136, 12), "uid": (108, 8), "type": (156, 1)}
    block = bytearray(tar(entry("f"))[:512])
    for name, value in changes.items():
        start, length = at[name]
        block[start : start + length] = value.ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": b"\x80" + b"\xff" * 11},
        {"size": b"\xff" * 12},
        {"size": b"-1"},
        {"size": b"9" * 11},
        {"uid": b"\x80" + b"\xff" * 7},
        {"uid": b"\xff" * 8},
        {"mtime": b"\x80" + b"\xff" * 11},
        {"type": b"x", "size": b"%011o" % (1 << 30)},
        {"type": b"L", "size": b"\x80" + b"\xff" * 11},
        {"type": b"Z"},
    ],
)
def test_numbers_that_make_no_sense(root: Path, changes: dict[str, bytes]) -> None:
    with pytest.raises(InvalidParameter):
        untar(io.BytesIO(_header(**changes) + bytes(1024)), root)


@pytest.mark.parametrize(
    "record",
    [b"5 a=", b"999 path=x\n", b"x path=a\n", b"10 path=a\0\n", b"-3 path=a\n", b"11 size=-1\n"],
)
def test_pax_records_that_make_no_sense(root: Path, record: bytes) -> None:
    body = record.ljust(512, b"\0")
    data = _header(type=b"x", size=b"%011o" % len(record)) + body + _header() + bytes(1024)
    with pytest.raises(InvalidParameter):
        untar(io.BytesIO(data), root)


def test_a_full_disk_is_one_clear_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarreader, "write_all", full)
    with pytest.raises(DockmagicError, match=r"^write .*: no space left on device$"):
        unpack(root, entry("f", b"x"))


def test_many_deep_folders_do_not_use_up_descriptors(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    unpack(root, *[entry("/".join(f"{n}-{level}" for level in range(20)) + "/f", b"x") for n in range(200)])
    assert sum(1 for path in root.rglob("f")) == 200
    assert len(os.listdir("/proc/self/fd")) == before


def test_owner_of_everything(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    untar(io.BytesIO(tar(folder("d", uid=1), entry("d/f", b"", uid=2))), root, owner=(33, 44))
    assert [((root / name).stat().st_uid, (root / name).stat().st_gid) for name in ("d", "d/f")] == [(33, 44)] * 2
