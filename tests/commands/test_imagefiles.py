"""The files of layers: read as tarfile reads them, stacked, and nested within bounds."""

from __future__ import annotations

import io
import random
import tarfile

import pytest

from dockmagic.commands.imagefiles import DEPTH, SHOWN, flatten, nested
from dockmagic.commands.tarscan import File, same, scan_bytes
from dockmagic.views.layers import FileEntry

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def tar(entries: list[tarfile.TarInfo], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for info in entries:
            made.addfile(info, io.BytesIO(b"x" * info.size) if info.isreg() else None)
    return out.getvalue()


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in more.items():
        setattr(info, key, value)
    return info


def scanned(data: bytes) -> dict[str, File]:
    return scan_bytes(data, 0, len(data))


@pytest.mark.parametrize("form", FORMATS)
def test_headers_are_read_as_tarfile_reads_them(form: int) -> None:
    entries = [
        entry("./", kind=tarfile.DIRTYPE),
        entry("etc", kind=tarfile.DIRTYPE, mode=0o755),
        entry("etc/passwd", 700, mtime=1_700_000_000, uid=5, gid=6),
        entry("bin/sh", kind=tarfile.SYMTYPE, linkname="busybox"),
        entry("bin/ls", kind=tarfile.LNKTYPE, linkname="bin/busybox"),
        entry("a" * 60 + "/" + "b" * 80, 3),
        entry("dev/null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("etc/.wh.gone"),
        entry("var/.wh..wh..opq"),
        entry("e" * 100, 9),
        entry("last", 513),
    ]
    if form != tarfile.USTAR_FORMAT:
        entries += [entry("한국/" + "d" * 200, 5), entry("link", kind=tarfile.SYMTYPE, linkname="t" * 150)]
    found = scanned(tar(entries, form))
    assert {path: (kind, size) for path, (kind, size, _) in found.items()} == {
        "/etc": ("dir", 0),
        "/etc/passwd": ("file", 700),
        "/bin/sh": ("link", 0),
        "/bin/ls": ("file", 0),
        "/" + "a" * 60 + "/" + "b" * 80: ("file", 3),
        "/dev/null": ("file", 0),
        "/etc/gone": ("whiteout", 0),
        "/var": ("opaque", 0),
        "/" + "e" * 100: ("file", 9),
        "/last": ("file", 513),
    } | ({} if form == tarfile.USTAR_FORMAT else {"/한국/" + "d" * 200: ("file", 5), "/link": ("link", 0)})


@pytest.mark.parametrize("form", FORMATS)
def test_what_changes_is_told_in_any_format(form: int) -> None:
    base = scanned(tar([entry("f", 3, mode=0o644, mtime=5)], tarfile.GNU_FORMAT))["/f"]
    assert same(base, scanned(tar([entry("f", 3, mode=0o644, mtime=5)], form))["/f"])
    for other in ({"mode": 0o600}, {"mtime": 6}, {"uid": 1}):
        changed = scanned(tar([entry("f", 3, **{"mode": 0o644, "mtime": 5, **other})], form))
        assert not same(base, changed["/f"])


def test_rubbish_is_no_tar() -> None:
    with pytest.raises(tarfile.TarError):
        scanned(b"z" * 2048)
    with pytest.raises(tarfile.TarError):
        scanned(tar([entry("f")], tarfile.USTAR_FORMAT).replace(b"00000000000\0", b"-0000001000\0", 1))
    assert scanned(b"") == {}
    random.seed(1)
    whole = tar([entry("한국/" + "d" * 200, 5), entry("f", 700)])
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(4):
            data[random.randrange(len(data))] = random.randrange(256)
        try:
            scanned(bytes(data))
        except tarfile.TarError:
            pass


def test_a_folder_that_begins_anew_hides_what_was_in_it() -> None:
    first = scanned(tar([entry("a/one"), entry("a/two"), entry("a0"), entry("b/c/d")]))
    second = scanned(tar([entry("a/.wh..wh..opq"), entry("a/new"), entry(".wh.b")]))
    assert sorted(flatten([first, second])) == ["/a/new", "/a0"]


def depth_of(entries: list[FileEntry]) -> int:
    depth = 0
    while entries:
        depth += 1
        entries = [c for e in entries for c in e.children]
    return depth


def count(entries: list[FileEntry]) -> int:
    return sum(1 + count(e.children) for e in entries)


def test_what_is_listed_is_bounded_and_the_rest_counted() -> None:
    entries = {f"/d{d}/f{n}": (d * 1000 + n, "added") for d in range(50) for n in range(100)}
    listed = nested(entries, 400)
    assert [e.name for e in listed[:2]] == ["d49", "d48"]
    assert listed[0].size == sum(49 * 1000 + n for n in range(100))
    assert len(listed[0].children) == SHOWN
    assert listed[0].more == 40
    assert listed[0].children[0].name == "f99"
    assert (listed[-1].children, listed[-1].more) == ([], 100)
    assert count(listed) <= 400 + SHOWN


def test_a_chain_of_folders_is_opened_so_far() -> None:
    listed = nested({"/d" * 2000 + "/f": (7, "added")}, 4000)
    assert depth_of(listed) == DEPTH
    assert listed[0].size == 7
    assert listed[0].children[0].name == "d"


def test_a_folder_with_entries_is_listed_once() -> None:
    listed = nested({"/a": (0, "added"), "/a/b": (3, "changed"), "/c": (0, "added")}, 100)
    assert [(e.name, e.size, len(e.children)) for e in listed] == [("a", 3, 1), ("c", 0, 0)]
