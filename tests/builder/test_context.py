"""Contexts in every form they come in, and what .dockerignore leaves of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from dockmagic.builder.context import Context, MaskedTree, ignore_of, read_context, read_file
from dockmagic.builder.tree import walk
from dockmagic.dockerfile.ignore import Ignore
from dockmagic.errors import InvalidParameter


def tar_of(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def load(data: bytes, tmp_path: Path) -> Context:
    return read_context(io.BytesIO(data), tmp_path)


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
def test_compressions(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    context = load(compress(tar_of({"Dockerfile": "FROM scratch", "d/a": "x" * 5000})), tmp_path)
    assert context.dockerfile is None
    assert read_file(context.tree, "Dockerfile") == b"FROM scratch"
    assert read_file(context.tree, "d/a") == b"x" * 5000
    context.close()


def test_a_bare_dockerfile(tmp_path: Path) -> None:
    context = load(b"FROM scratch\nCOPY a b\n", tmp_path)
    assert context.dockerfile == b"FROM scratch\nCOPY a b\n"
    assert context.tree.names("") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_context_that_is_too_big_for_memory(
    compress: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockmagic.builder.context._IN_MEMORY", 100)
    data = tar_of({"Dockerfile": "FROM scratch", "d/a": "xyz" * 5000})
    context = load(compress(data), tmp_path)
    assert context.identity == load(compress(data), tmp_path).identity
    assert read_file(context.tree, "d/a") == b"xyz" * 5000
    assert list(tmp_path.iterdir()) == []
    context.close()


def test_nothing_at_all(tmp_path: Path) -> None:
    assert load(b"", tmp_path).dockerfile == b""


@pytest.mark.parametrize("cut", [700, 1200])
def test_a_context_that_ends_early(cut: int, tmp_path: Path) -> None:
    context = load(tar_of({"a": "x" * 2000})[:cut], tmp_path)
    with pytest.raises(InvalidParameter, match="unexpected EOF"):
        context.tree.names("")
    context.close()


def test_damaged_compression(tmp_path: Path) -> None:
    context = load(gzip.compress(tar_of({"a": "x"}))[:-10], tmp_path)
    with pytest.raises(InvalidParameter):
        context.tree.names("")
    context.close()


def test_ignored_files_are_not_there(tmp_path: Path) -> None:
    context = load(tar_of({"a": "", "b": "", "d/a": "", "d/keep": "", "e/x": ""}), tmp_path)
    tree = MaskedTree(context.tree, Ignore.of(["d", "!d/keep", "e", "b"]))
    assert [path for path, _ in walk(tree)] == ["a", "d", "d/keep"]
    assert tree.lstat("b") is None
    assert tree.lstat("d/a") is None
    assert tree.lstat("e/x") is None
    assert tree.lstat("d/keep") is not None
    context.close()


def test_the_dockerfiles_own_rules_come_first(tmp_path: Path) -> None:
    context = load(tar_of({".dockerignore": "a\n", "sub/x.dockerignore": "b\n", "empty.dockerignore": ""}), tmp_path)
    patterns = {}
    for name in ("Dockerfile", "sub/x", "empty"):
        rules = ignore_of(lambda path: read_file(context.tree, path), name)
        patterns[name] = None if rules is None else [pattern.text for pattern in rules.patterns]
    assert patterns == {"Dockerfile": ["a"], "sub/x": ["b"], "empty": []}
    context.close()


class _Slow(io.RawIOBase):
    """A stream that gives little at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:  # type: ignore[no-untyped-def]  # a Buffer, which typing can't name in 3.10
        return self._data.readinto(memoryview(target)[:70_001])


def test_contexts_do_not_see_one_anothers_memory(tmp_path: Path) -> None:
    """The memory that one was read into is the next one's."""
    for round in range(3):
        texts = {f"{round}-{n}": os.urandom(300_000) for n in range(8)}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in texts.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        first = read_context(_Slow(out.getvalue()), tmp_path)  # type: ignore[arg-type]
        second = read_context(io.BytesIO(out.getvalue()[: 5 * 300_544] + bytes(1024)), tmp_path)
        assert first.identity != second.identity
        assert first.size == len(out.getvalue())
        assert [read_file(first.tree, name) for name in texts] == list(texts.values())
        first.close()
        assert read_file(second.tree, f"{round}-3") == texts[f"{round}-3"]
        second.close()
