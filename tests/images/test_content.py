"""The content store: nothing gets a name before it is right, and nothing is lost that was right."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
from pathlib import Path

import pytest

from dockmagic.errors import DockmagicError, InvalidParameter, NotFound
from dockmagic.images import content as content_module
from dockmagic.images.content import Content

DATA = bytes(range(256)) * 5000
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content(tmp_path)


def _files(content: Content) -> list[str]:
    return [str(path.relative_to(content.root)) for path in content.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("source", [DATA, io.BytesIO(DATA)], ids=["bytes", "stream"])
def test_put_and_open(content: Content, source: bytes | io.BytesIO) -> None:
    assert content.put(source) == (DIGEST, len(DATA))
    assert content.has(DIGEST)
    assert content.size(DIGEST) == len(DATA)
    with content.open(DIGEST) as stream:
        assert stream.read() == DATA
    assert list(content.digests()) == [DIGEST]


def test_a_wrong_digest_leaves_nothing(content: Content) -> None:
    other = "sha256:" + "0" * 64
    with pytest.raises(InvalidParameter, match="unexpected commit digest"):
        content.put(DATA, other)
    assert not content.has(other)
    assert _files(content) == []


def test_what_is_not_there(content: Content) -> None:
    with pytest.raises(NotFound):
        content.open(DIGEST)
    with pytest.raises(NotFound):
        content.size(DIGEST)
    assert content.remove(DIGEST) is False


@pytest.mark.parametrize("digest", ["", "sha256:../../etc/passwd", "sha512:" + "a" * 128, "sha256:" + "A" * 64])
def test_only_digests_are_names(content: Content, digest: str) -> None:
    with pytest.raises(InvalidParameter):
        content.path(digest)


def test_an_ingest_goes_on_where_it_was_left(content: Content) -> None:
    with pytest.raises(ConnectionError), content.ingest(DIGEST) as ingest:
        ingest.write(DATA[:1000])
        raise ConnectionError
    again = Content(content.root)  # another engine, later
    with again.ingest(DIGEST) as ingest:
        assert ingest.offset == 1000
        ingest.write(DATA[1000:])
        assert ingest.commit() == (DIGEST, len(DATA))
    assert again.read(DIGEST) == DATA


def test_a_partial_blob_that_is_wrong_is_not_gone_on_with_for_ever(content: Content) -> None:
    with pytest.raises(ConnectionError), content.ingest(DIGEST) as ingest:
        ingest.write(b"garbage")
        raise ConnectionError
    with pytest.raises(InvalidParameter), content.ingest(DIGEST) as ingest:
        ingest.write(DATA)
        ingest.commit()
    assert content.put(DATA, DIGEST) == (DIGEST, len(DATA))


def test_what_a_crash_left_without_a_digest_goes(content: Content) -> None:
    (content.root / "ingest" / "new-0123").write_bytes(b"half")
    Content(content.root)
    assert _files(content) == []


def test_an_ingest_without_commit_is_nothing(content: Content) -> None:
    with content.ingest() as ingest:
        ingest.write(DATA)
    assert _files(content) == []


def test_the_same_blob_from_many_threads(content: Content) -> None:
    results: list[tuple[str, int]] = []
    start = threading.Barrier(8)

    def bring() -> None:
        start.wait()
        results.append(content.put(io.BytesIO(DATA), DIGEST))

    threads = [threading.Thread(target=bring) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(DIGEST, len(DATA))] * 8
    assert content.read(DIGEST) == DATA
    assert os.listdir(content.root / "ingest") == []


def test_a_full_disk_is_one_clear_error(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(content_module, "write_all", full)
    with pytest.raises(DockmagicError, match=r"write .*: no space left on device"):
        content.put(DATA)
    assert _files(content) == []


def test_an_open_blob_survives_its_removal(content: Content) -> None:
    content.put(DATA)
    with content.open(DIGEST) as stream:
        assert content.remove(DIGEST)
        assert stream.read() == DATA
