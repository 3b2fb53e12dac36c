"""COPY's rules, each on real folders; owners are left to the kernel where the tests run as root."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from dockmagic.builder.chmod import Mode
from dockmagic.builder.context import read_context
from dockmagic.builder.copying import Copier, CopyFailed, CopyOptions, match_sources
from dockmagic.builder.metadata import Applier
from dockmagic.builder.tree import FolderTree, MemoryTree, Tree, resolve

PLAIN = CopyOptions()


def make(root: Path, files: dict[str, str]) -> Tree:
    """Files by path; ``->`` in front of a text makes a symbolic link, a path that ends with / a folder."""
    for name, text in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            path.symlink_to(text[2:])
        else:
            path.write_text(text)
            path.chmod(0o600)
    return FolderTree(str(root))


def listing(root: Path) -> dict[str, str]:
    """Every path below, with its text, its link's target after ``->``, or ``/`` for a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = "->" + os.readlink(path)
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def copier(root: Path) -> Copier:
    return Copier(str(root), Applier(real_owners=os.geteuid() == 0))


def test_a_file_to_a_name_and_into_a_folder(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"a": "1"})
    copier.copy(tree, "a", "/x/b", PLAIN)
    copier.copy(tree, "a", "/y/", PLAIN)
    copier.copy(tree, "a", "/y", PLAIN)
    assert listing(root) == {"x": "/", "x/b": "1", "y": "/", "y/a": "1"}
    assert (root / "x/b").stat().st_mode & 0o777 == 0o600
    assert (root / "x").stat().st_mode & 0o777 == 0o755


def test_a_folder_gives_its_contents_and_not_its_mode(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"d/a": "1", "d/sub/b": "2"})
    (source / "d").chmod(0o700)
    (source / "d/sub").chmod(0o711)
    copier.copy(tree, "d", "/out", PLAIN)
    assert listing(root) == {"out": "/", "out/a": "1", "out/sub": "/", "out/sub/b": "2"}
    assert (root / "out").stat().st_mode & 0o777 == 0o755
    assert (root / "out/sub").stat().st_mode & 0o777 == 0o711


def test_links_in_the_destination_are_followed_within_the_root(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"a": "1"})
    make(root, {"real/": "", "link": "->/real", "up": "->../../../real"})
    copier.copy(tree, "a", "/link/", PLAIN)
    copier.copy(tree, "a", "/up/b", PLAIN)
    assert listing(root) == {"link": "->/real", "up": "->../../../real", "real": "/", "real/a": "1", "real/b": "1"}


def test_a_link_as_the_source_is_followed_and_one_below_is_copied(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"target": "t", "link": "->target", "d/l": "->../target", "out": "->../../../../target"})
    copier.copy(tree, "link", "/a", PLAIN)
    copier.copy(tree, "d", "/b", PLAIN)
    copier.copy(tree, "out", "/c", PLAIN)
    assert listing(root) == {"a": "t", "b": "/", "b/l": "->../target", "c": "t"}


def test_what_is_in_the_way(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"a": "1", "d/x/y": "2"})
    make(root, {"dir/a/": "", "dir/x": "file"})
    with pytest.raises(CopyFailed, match="cannot replace to directory /dir/a with file"):
        copier.copy(tree, "a", "/dir/", PLAIN)
    with pytest.raises(CopyFailed, match="cannot copy to non-directory: /dir/x"):
        copier.copy(tree, "d", "/dir", PLAIN)
    with pytest.raises(CopyFailed, match="mkdir /dir/x/z: not a directory"):
        copier.copy(tree, "a", "/dir/x/z/", PLAIN)
    with pytest.raises(CopyFailed, match="mkdir /dir/x: not a directory"):
        copier.copy(tree, "a", "/dir/x/y", PLAIN)


def test_a_link_in_the_way_is_replaced_and_not_written_through(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"d/a": "new"})
    make(root, {"other": "old", "out/a": "->../other"})
    copier.copy(tree, "d", "/out", PLAIN)
    assert listing(root) == {"other": "old", "out": "/", "out/a": "new"}


def test_the_same_again_touches_nothing(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"d/a": "1", "d/l": "->a"})
    copier.copy(tree, "d", "/out", PLAIN)
    before = {name: os.lstat(root / "out" / name).st_ino for name in ("a", "l")}
    copier.copy(tree, "d", "/out", PLAIN)
    assert {name: os.lstat(root / "out" / name).st_ino for name in ("a", "l")} == before
    (source / "d/a").write_text("2")
    copier.copy(tree, "d", "/out", PLAIN)
    assert (root / "out/a").read_text() == "2"


def test_chmod_applies_to_what_is_made_on_the_way(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"a": "1"})
    copier.copy(tree, "a", "/p/q/a", CopyOptions(mode=Mode.parse("750")))
    assert [oct((root / name).stat().st_mode & 0o777) for name in ("p", "p/q", "p/q/a")] == ["0o750"] * 3


def test_parents_and_excludes(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"a/b/c.txt": "1", "a/b/d.md": "2", "a/e/c.txt": "3", "z.txt": "4"})
    copier.copy(tree, "", "/one", CopyOptions(include=("a/*/c.txt",)))
    assert listing(root) == {
        "one": "/", "one/a": "/", "one/a/b": "/", "one/a/b/c.txt": "1", "one/a/e": "/", "one/a/e/c.txt": "3",
    }  # fmt: skip
    copier.copy(tree, "", "/two", CopyOptions(exclude=("**/*.txt", "!a/b/c.txt")))
    assert set(listing(root / "two")) == {"a", "a/b", "a/b/c.txt", "a/b/d.md", "a/e"}


def test_times_come_along_unless_an_epoch_is_set(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"a": "1"})
    os.utime(source / "a", ns=(5, 7 * 10**9))
    copier.copy(tree, "a", "/a", PLAIN)
    copier.copy(tree, "a", "/b", CopyOptions(epoch=9 * 10**9))
    assert (root / "a").stat().st_mtime_ns == 7 * 10**9
    assert (root / "b").stat().st_mtime_ns == 9 * 10**9


def test_hard_links_stay_hard_links(source: Path, root: Path, copier: Copier) -> None:
    tree = make(source, {"d/a": "1"})
    os.link(source / "d/a", source / "d/b")
    copier.copy(tree, "d", "/d", PLAIN)
    assert (root / "d/a").stat().st_ino == (root / "d/b").stat().st_ino


def test_owners_are_recorded_where_the_kernel_keeps_none(source: Path, root: Path) -> None:
    tree = make(source, {"a": "1"})
    copier = Copier(str(root), Applier(real_owners=False))
    try:
        copier.copy(tree, "a", "/d/a", CopyOptions(owner=(100, 200), mode=Mode.parse("4000")))
    except OSError:
        pytest.skip("no user attributes on this file system")
    seen = FolderTree(str(root)).lstat("d/a")
    assert seen is not None
    assert (seen.uid, seen.gid, oct(seen.mode & 0o7777)) == (100, 200, "0o4000")
    assert os.access(root / "d/a", os.R_OK)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/*.go", ["bar.go", "foo.go"]),
        ("/sub/*", ["sub/dir1", "sub/x.go"]),
        ("/sub/*/dir2/f*", ["sub/dir1/dir2/foo"]),
        ("/link/*", ["sub/dir1", "sub/x.go"]),
        ("/nomatch*", []),
        ("/[bf]oo.go", ["foo.go"]),
        ("/foo.go", ["foo.go"]),
    ],
)
def test_wildcards(source: Path, pattern: str, expected: list[str]) -> None:
    tree = make(source, {"bar.go": "", "foo.go": "", "sub/dir1/dir2/foo": "", "sub/x.go": "", "link": "->sub"})
    assert match_sources(tree, pattern) == expected


def test_resolve_never_leaves_the_tree(source: Path) -> None:
    tree = make(source, {"a/l": "->../../../b", "b/c": "x", "loop": "->loop"})
    assert resolve(tree, "a/l/c") == "b/c"
    assert resolve(tree, "../../b") == "b"
    with pytest.raises(OSError, match="symbolic links"):
        resolve(tree, "loop")


def test_a_context_tar_is_a_tree(tmp_path: Path, root: Path, copier: Copier) -> None:
    out = io.BytesIO()
    long_name = "d/" + "x" * 120 + "/file"
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name, data in {"./a": b"1", long_name: b"22", "ü": b"3", "../../up": b"4"}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), 0o640, 1234
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, "a"
        tar.addfile(link)
        hard = tarfile.TarInfo("h")
        hard.type, hard.linkname = tarfile.LNKTYPE, "ü"
        tar.addfile(hard)
    out.seek(0)
    context = read_context(out, tmp_path)
    copier.copy(context.tree, "", "/", PLAIN)
    context.close()
    assert listing(root) == {
        "a": "1", "d": "/", "d/" + "x" * 120: "/", long_name: "22", "h": "3", "l": "->a", "up": "4", "ü": "3",
    }  # fmt: skip
    assert (root / "a").stat().st_mode & 0o777 == 0o640
    assert (root / "a").stat().st_uid == os.geteuid()


def test_a_heredoc_is_a_tree(root: Path, copier: Copier) -> None:
    copier.copy(MemoryTree({"EOF": (b"text\n", 0o644)}, 5 * 10**9), "EOF", "/dir/", PLAIN)
    assert listing(root) == {"dir": "/", "dir/EOF": "text\n"}
    assert (root / "dir/EOF").stat().st_mtime_ns == 5 * 10**9


def test_what_comes_apart_is_a_layer_on_what_is_below(source: Path, root: Path, tmp_path: Path) -> None:
    """Only what changes is in the layer, and the folders above it as they were."""
    below = tmp_path / "below"
    make(below, {"etc/conf": "old", "etc/other": "x", "var/www/": "", "real/": "", "link": "->/real", "same/a": "1"})
    (below / "var").chmod(0o711)
    (below / "etc/conf").chmod(0o644)
    tree = make(source, {"a": "1", "conf": "new", "d/a": "1", "d/b/c": "2"})
    for name in ("d/a", "a"):
        os.utime(source / name, ns=(0, 7 * 10**9))
    os.utime(below / "same/a", ns=(0, 7 * 10**9))
    copier = Copier(str(root), Applier(real_owners=os.geteuid() == 0), below=str(below))
    copier.copy(tree, "a", "/var/www/", PLAIN)
    copier.copy(tree, "conf", "/etc/conf", PLAIN)
    copier.copy(tree, "a", "/link/x/y", PLAIN)
    copier.copy(tree, "a", "/same/", PLAIN)
    copier.copy(tree, "d", "/same/../new", PLAIN)
    assert listing(root) == {
        "etc": "/", "etc/conf": "new", "new": "/", "new/a": "1", "new/b": "/", "new/b/c": "2",
        "real": "/", "real/x": "/", "real/x/y": "1", "var": "/", "var/www": "/", "var/www/a": "1",
    }  # fmt: skip
    assert (root / "var").stat().st_mode & 0o777 == 0o711
    with pytest.raises(CopyFailed, match="cannot replace to directory /var/www with file"):
        copier.copy(make(source, {"www": ""}), "www", "/var/", PLAIN)
    with pytest.raises(CopyFailed, match="mkdir /etc/other/z: not a directory"):
        copier.copy(tree, "a", "/etc/other/z/", PLAIN)
    assert listing(below)["etc/conf"] == "old"


def test_a_hard_link_whose_first_name_was_there_comes_as_a_file(source: Path, root: Path, tmp_path: Path) -> None:
    below = tmp_path / "below"
    make(below, {"d/a": "1"})
    tree = make(source, {"d/a": "1"})
    os.link(source / "d/a", source / "d/b")
    for path in (below / "d/a", source / "d/a"):
        os.utime(path, ns=(0, 7 * 10**9))
    Copier(str(root), Applier(real_owners=os.geteuid() == 0), below=str(below)).copy(tree, "d", "/d", PLAIN)
    assert listing(root) == {"d": "/", "d/b": "1"}
