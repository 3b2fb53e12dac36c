"""Every packing that layers and archives come in, whole, in several streams, and broken."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import Literal

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dockmagic.errors import InvalidParameter
from dockmagic.images import compression

DATA = bytes(range(256)) * 3000
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "none": lambda data: data,
}


def _read(data: bytes) -> bytes:
    with compression.decompressed(io.BytesIO(data)) as stream:
        return stream.read()


@pytest.mark.parametrize("name", PACK)
def test_reading(name: str) -> None:
    packed = PACK[name](DATA)
    assert compression.detect(packed[:8]) == name
    assert _read(packed) == DATA


@pytest.mark.parametrize("name", [name for name in PACK if name != "none"])
def test_several_streams_one_after_the_other(name: str) -> None:
    assert _read(PACK[name](DATA) + PACK[name](b"more")) == DATA + b"more"


@pytest.mark.parametrize("name", [name for name in PACK if name != "none"])
def test_a_stream_that_ends_early(name: str) -> None:
    with pytest.raises(InvalidParameter):
        _read(PACK[name](DATA)[:-9])


@pytest.mark.parametrize("name", ["gzip", "zstd", "xz", "bzip2"])
def test_a_broken_stream(name: str) -> None:
    packed = bytearray(PACK[name](DATA))
    packed[len(packed) // 2] ^= 0xFF
    packed[-5] ^= 0xFF
    with pytest.raises(InvalidParameter):
        _read(bytes(packed))


@pytest.mark.parametrize("name", ["none", "gzip", "zstd"])
def test_writing_is_deterministic(name: Literal["none", "gzip", "zstd"]) -> None:
    packed = []
    for _ in range(2):
        out = io.BytesIO()
        compression.copy(io.BytesIO(DATA), out.write, compression.compressor(name))
        packed.append(out.getvalue())
    assert packed[0] == packed[1]
    assert _read(packed[0]) == DATA


def test_empty() -> None:
    assert _read(b"") == b""
    assert _read(gzip.compress(b"")) == b""


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        _read(data)
    except InvalidParameter:
        pass
    assert compression.detect(data) != "none" or _read(data) == data
