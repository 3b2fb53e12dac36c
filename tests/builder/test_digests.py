"""Content as cache keys see it, and hashing spared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic.builder import digests
from dockmagic.builder.cache import BuildCache, Record
from dockmagic.builder.digests import Digester
from dockmagic.builder.tree import FolderTree
from dockmagic.database import Database


@pytest.fixture
def cache(tmp_path: Path) -> BuildCache:
    return BuildCache(Database(tmp_path / "state.db"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "d").mkdir(parents=True)
    (root / "d" / "a").write_text("1")
    (root / "d" / "l").symlink_to("a")
    return root


def change_time(root: Path) -> None:
    os.utime(root / "d" / "a", ns=(1, 1))
    os.utime(root / "d", ns=(1, 1))


def change_link(root: Path) -> None:
    (root / "d" / "l").unlink()
    (root / "d" / "l").symlink_to("b")


def change_name(root: Path) -> None:
    (root / "d" / "a").rename(root / "d" / "b")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (change_time, True),
        (lambda root: (root / "d").chmod(0o700), True),
        (lambda root: (root / "d" / "a").write_text("2"), False),
        (lambda root: (root / "d" / "a").chmod(0o600), False),
        (lambda root: (root / "d" / "sub").mkdir(), False),
        (change_link, False),
        (change_name, False),
    ],
)
def test_what_counts(cache: BuildCache, folder: Path, change: Callable[[Path], object], same: bool) -> None:
    """Times do not, nor does the mode of the folder whose contents are copied."""
    (folder / "d" / "a").chmod(0o644)
    before = Digester(cache).tree(FolderTree(str(folder)), "d")
    change(folder)
    assert (Digester(cache).tree(FolderTree(str(folder)), "d") == before) is same


def test_patterns_narrow_what_counts(cache: BuildCache, folder: Path) -> None:
    tree = FolderTree(str(folder))
    before = Digester(cache).tree(tree, "d", exclude=("b*",))
    (folder / "d" / "b2").write_text("not looked at")
    assert Digester(cache).tree(tree, "d", exclude=("b*",)) == before
    assert Digester(cache).tree(tree, "d") != before


def test_a_file_is_hashed_once(cache: BuildCache, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    hash_one = digests._digest

    def counting(tree: FolderTree, path: str, entry: object) -> str:
        hashed.append(path)
        return hash_one(tree, path, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(digests, "_digest", counting)
    first = Digester(cache).tree(FolderTree(str(folder)), "d")
    assert Digester(cache).tree(FolderTree(str(folder)), "d") == first
    assert hashed == ["d/a"]
    (folder / "d" / "a").write_text("2")
    Digester(cache).tree(FolderTree(str(folder)), "d")
    assert hashed == ["d/a", "d/a"]


def test_many_files_in_threads_give_the_same(cache: BuildCache, folder: Path, tmp_path: Path) -> None:
    for number in range(digests._PARALLEL * 2):
        (folder / f"{number}").write_text(str(number))
    tree = FolderTree(str(folder))
    whole = Digester(cache).tree(tree, "")
    one_by_one = Digester(BuildCache(Database(tmp_path / "other.db")))
    for number in range(digests._PARALLEL * 2):
        one_by_one.tree(tree, f"{number}")
    assert one_by_one.tree(tree, "") == whole


def test_records_share_layers(cache: BuildCache) -> None:
    for key in ("a", "b"):
        cache.save(Record(key, f"chain-{key}", "sha256:same", "", "run", "RUN x", 10, created=1))
    assert not cache.remove("a"), "b has the layer still"
    assert cache.remove("b")
    assert cache.find("a") is None
