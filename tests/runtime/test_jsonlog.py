"""docker's json-file log, as its own reader expects it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockmagic.runtime.jsonlog import PIECE, LogWriter, timestamp


def _entries(path: Path) -> list[tuple[str, str]]:
    return [(e["stream"], e["log"]) for e in map(json.loads, path.read_text("utf-8").splitlines())]


def _write(path: Path, *chunks: tuple[int, bytes], **options: int) -> None:
    log = LogWriter(str(path), **options)
    for stream, data in chunks:
        log.write(stream, data)
    log.end(1)
    log.end(2)
    log.close()


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_000_000_010, "2023-11-14T22:13:20.00000001Z"),
    ],
)
def test_times_are_gos_rfc3339nano(nanoseconds: int, text: str) -> None:
    assert timestamp(nanoseconds) == text


def test_lines_are_put_together_and_streams_kept_apart(tmp_path: Path) -> None:
    _write(tmp_path / "log", (1, b"a\nhal"), (2, b"err\n"), (1, b"f\nlast"))
    assert _entries(tmp_path / "log") == [
        ("stdout", "a\n"),
        ("stderr", "err\n"),
        ("stdout", "half\n"),
        ("stdout", "last"),
    ]


@pytest.mark.parametrize("chunk", [1000, PIECE, 65536])
def test_a_long_line_is_written_in_pieces(tmp_path: Path, chunk: int) -> None:
    line = bytes(97 + n % 26 for n in range(2 * PIECE + 5)) + b"\n"
    _write(tmp_path / "log", *((1, line[at : at + chunk]) for at in range(0, len(line), chunk)))
    entries = [text for _stream, text in _entries(tmp_path / "log")]
    assert [len(text) for text in entries] == [PIECE, PIECE, 6]
    assert "".join(entries).encode() == line


def test_any_bytes_make_valid_json(tmp_path: Path) -> None:
    _write(tmp_path / "log", (1, bytes(range(1, 10)) + b'"\\\xff\xc3\xa4\n'))
    assert _entries(tmp_path / "log") == [("stdout", '\x01\x02\x03\x04\x05\x06\x07\x08\t"\\\ufffdä\n')]


def test_files_rotate(tmp_path: Path) -> None:
    lines = [f"line {n}\n".encode() for n in range(20)]
    one = len(json.dumps({"log": "line 10\n", "stream": "stdout", "time": timestamp(1_700_000_000_123_456_789)}))
    _write(tmp_path / "log", *((1, line) for line in lines), max_size=one * 5, max_files=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["log", "log.1", "log.2"]
    kept = [text for name in ("log.2", "log.1", "log") for _stream, text in _entries(tmp_path / name)]
    assert kept == [line.decode() for line in lines][-len(kept) :]
    assert all((tmp_path / name).stat().st_size <= one * 5 for name in names)


def test_one_file_is_begun_anew(tmp_path: Path) -> None:
    _write(tmp_path / "log", *((1, b"x" * 50 + b"%d\n" % n) for n in range(30)), max_size=500, max_files=1)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert _entries(tmp_path / "log")[-1][1].endswith("29\n")


def test_write_tells_whether_the_log_grew(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"))
    assert [log.write(1, b"half"), log.write(1, b" line\n"), log.end(1), log.end(2)] == [False, True, False, False]
    log.close()
