"""Tars written and read again: by us and by Python's tarfile, which must agree."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic import ownership
from dockmagic.images import tarformat, tarwriter
from dockmagic.images.attributes import Owners
from dockmagic.images.tarreader import TarReader
from dockmagic.images.untar import untar
from tests.images import tars
from tests.images.isolation import in_child, needs_root, nobody, open_folder
from tests.images.tars import entry, folder, hardlink, symlink, tar

ME = {"uid": os.geteuid(), "gid": os.getegid()}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def write(root: Path, owners: Owners = "real", epoch: int | None = None) -> bytes:
    return b"".join(tarwriter.write_tar(tarwriter.walk(os.fsencode(root)), owners, epoch))


def unpack(data: bytes, root: Path, owners: Owners = "real") -> None:
    root.mkdir()
    untar(io.BytesIO(data), root, owners=owners)


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    data = tar(
        folder("bin", mode=0o755, **ME),
        entry("bin/sh", b"#!", mode=0o755, **ME),
        hardlink("bin/zsh", "bin/sh", mode=0o755, **ME),
        folder("empty", mode=0o700, **ME),
        symlink("lib", "usr/lib", mode=0o777, **ME),
        entry("tmp", b"x" * 1_300_000, mode=0o600, **ME),
    )
    unpack(data, tmp_path / "a")
    assert tars.listing(write(tmp_path / "a")) == tars.listing(data)
    assert (tmp_path / "a/bin/sh").stat().st_ino == (tmp_path / "a/bin/zsh").stat().st_ino
    assert (tmp_path / "a/bin").stat().st_mtime == tars.WHEN


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    data = tar(folder("b"), entry("b/1", b"one"), entry("a", b"a"), hardlink("c", "a"))
    unpack(data, tmp_path / "x")
    unpack(write(tmp_path / "x"), tmp_path / "y")
    assert write(tmp_path / "x") == write(tmp_path / "y")


_names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(_names, st.binary(max_size=2000), max_size=8),
    st.integers(min_value=-(2**33), max_value=2**34),
)
def test_any_names_and_times(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], when: int) -> None:
    root = tmp_path_factory.mktemp("any")
    for name, content in files.items():
        (root / name).write_bytes(content)
        os.utime(root / name, (when, when))
    written = write(root)
    expected = sorted(
        (name, content, int(os.stat(root / name).st_mtime_ns // 10**9)) for name, content in files.items()
    )
    assert sorted((item[0], item[7], item[5]) for item in tars.listing(written)) == expected
    entries = [(os.fsdecode(item.name), item.mtime // 10**9) for item in TarReader(io.BytesIO(written))]
    assert sorted(entries) == [(name, mtime) for name, _, mtime in expected]


@pytest.mark.parametrize("length", [99, 100, 101, 155, 156, 200, 255, 256, 257, 300, 2000])
@pytest.mark.parametrize("depth", [1, 9])
def test_long_names(tmp_path: Path, length: int, depth: int) -> None:
    parts = ["d" * 19] * depth
    while sum(len(part) + 1 for part in parts) + 200 < length:
        parts.append("e" * 200)
    name = "/".join(parts) + "/"
    name += "f" * max(1, min(250, length - len(name)))
    block = tarformat.header(name.encode(), tarformat.SYMBOLIC_LINK, link=name.encode())
    with tarfile.open(fileobj=io.BytesIO(block + tarformat.END)) as archive:
        member = archive.getmembers()[0]
        assert member.name == name
        assert member.linkname == name
    [ours] = TarReader(io.BytesIO(block + tarformat.END))
    assert (ours.name, ours.link) == (name.encode(), name.encode())


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_is_read(format: int) -> None:
    big = format != tarfile.USTAR_FORMAT
    data = tar(
        folder("d"),
        entry("d/" + ("n" * 140 if big else "n" * 90), b"abc", uid=3_000_000 if big else 1, gid=5),
        symlink("l", "t" * (140 if big else 90)),
        format=format,
    )
    expected = tars.listing(data)
    found = [
        (os.fsdecode(item.name).rstrip("/"), item.kind, item.mode, item.uid, item.gid, item.mtime // 10**9)
        for item in TarReader(io.BytesIO(data))
    ]
    assert found == [item[:6] for item in expected]


def test_numbers_too_big_for_ustar() -> None:
    block = tarformat.header(
        b"big", tarformat.REGULAR, uid=4_000_000_000, gid=2_097_152, size=1 << 35, mtime=-5, mode=0o644
    )
    with tarfile.open(fileobj=io.BytesIO(block + bytes(1024))) as archive:
        member = archive.next()
    assert member is not None
    assert (member.uid, member.gid, member.size, member.mtime) == (4_000_000_000, 2_097_152, 1 << 35, -5)


def test_times_are_whole_seconds_and_never_after_the_epoch(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    os.utime(tmp_path / "f", ns=(0, 1_700_000_000_900_000_000))
    assert tars.listing(write(tmp_path))[0][5] == 1_700_000_000
    assert tars.listing(write(tmp_path, epoch=1_600_000_000))[0][5] == 1_600_000_000


def test_attributes_go_along_and_ours_stay(tmp_path: Path) -> None:
    try:
        os.setxattr(tmp_path, "user.test", b"1")
        os.removexattr(tmp_path, "user.test")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    value = b"\x01\0=\n\xff"
    (tmp_path / "a").mkdir()
    (tmp_path / "a/f").write_bytes(b"")
    os.setxattr(tmp_path / "a/f", "user.note", value)
    ownership.write(os.fspath(tmp_path / "a/f"), ownership.Recorded(7, 8, stat.S_IFREG | 0o4755))
    os.setxattr(tmp_path / "a/f", "user.overlay.origin", b"x")
    written = write(tmp_path / "a", "recorded")
    [found] = TarReader(io.BytesIO(written))
    assert dict(found.xattrs) == {"user.note": value}
    assert (found.uid, found.gid, found.mode) == (7, 8, 0o4755)
    unpack(written, tmp_path / "b", "recorded")
    assert os.getxattr(tmp_path / "b/f", "user.note") == value
    assert write(tmp_path / "b", "recorded") == written


def test_attributes_of_ours_are_not_taken_from_outside(tmp_path: Path) -> None:
    hostile = {f"SCHILY.xattr.{name}": "0:0:104755" for name in (ownership.ATTRIBUTE, "user.overlay.opaque")}
    unpack(tar(entry("f", b"x", pax_headers=hostile, **ME)), tmp_path / "a")
    assert os.listxattr(tmp_path / "a/f") == []


PRIVILEGED = tar(
    folder("dev", mode=0o755),
    entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
    entry("dev/pipe", type=tarfile.FIFOTYPE, mode=0o622),
    entry("dev/sda", type=tarfile.BLKTYPE, devmajor=8, devminor=0, mode=0o660, gid=6),
    folder("secret", mode=0, uid=4, gid=5),
    entry("secret/key", b"k", mode=0, uid=33, gid=33),
    entry("su", b"su", mode=0o4755),
    folder("tmp", mode=0o1777),
)


@needs_root
def test_owners_modes_and_devices_kept_by_the_kernel(tmp_path: Path) -> None:
    unpack(PRIVILEGED, tmp_path / "a")
    assert tars.listing(write(tmp_path / "a")) == tars.listing(PRIVILEGED)
    assert stat.S_ISCHR((tmp_path / "a/dev/null").stat().st_mode)


@pytest.mark.parametrize("before", [pytest.param(nobody, marks=needs_root), lambda: None], ids=["nobody", "me"])
def test_owners_modes_and_devices_recorded(tmp_path: Path, before: object) -> None:
    def check() -> None:
        unpack(PRIVILEGED, tmp_path / "a", "recorded")
        assert tars.listing(write(tmp_path / "a", "recorded")) == tars.listing(PRIVILEGED)

    in_child(check, before)  # type: ignore[arg-type]


def test_the_order_is_that_of_bytes(tmp_path: Path) -> None:
    for name in ("a.b", "a", "B", "é", "a-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"")
    assert tars.names(write(tmp_path)) == ["B", "B/x", "a", "a/x", "a-b", "a-b/x", "a.b", "a.b/x", "é", "é/x"]


def test_sockets_are_left_out(tmp_path: Path) -> None:
    os.mknod(tmp_path / "s", stat.S_IFSOCK | 0o600)
    (tmp_path / "f").write_bytes(b"")
    assert tars.names(write(tmp_path)) == ["f"]
