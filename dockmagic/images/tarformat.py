"""The bytes of a tar header, written and read: POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and what GNU tar adds.

Field offsets are those of ustar's ``posix_header`` (tar.h of GNU tar).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping

from dockmagic.errors import InvalidParameter

BLOCK = 512
REGULAR, OLD_REGULAR, CONTIGUOUS = b"0", b"\0", b"7"
HARD_LINK, SYMBOLIC_LINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO = b"1", b"2", b"3", b"4", b"5", b"6"
GNU_LONG_NAME, GNU_LONG_LINK, GNU_SPARSE = b"L", b"K", b"S"
PAX, PAX_GLOBAL = b"x", b"g"
XATTR = "SCHILY.xattr."
"""Prefix of the pax records that carry extended attributes (star's, taken over by GNU tar, Go and Docker)."""

WHITEOUT = ".wh."
"""Prefix of the entry that removes a name of the layers below (OCI image-spec, layer.md)."""
OPAQUE = ".wh..wh..opq"
"""The entry that hides everything the layers below have in its folder."""

END = bytes(2 * BLOCK)
_MAX_SMALL = 0o7777777
_MAX_LARGE = 0o77777777777
_ZEROS = bytes(BLOCK)
_NOBODY = bytes(64)  # names of owner and group: numbers alone count


class InvalidTar(InvalidParameter):
    """The archive is malformed or asks for what must not be; the words are Go's archive/tar's where it has some."""

    def __init__(self, message: str = "invalid tar header") -> None:
        super().__init__(f"archive/tar: {message}")


def padding(size: int) -> bytes:
    """What follows ``size`` bytes of content up to the next block."""
    return _ZEROS[: -size % BLOCK]


def header(
    name: bytes,
    kind: bytes,
    *,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    """The header of one entry, with a pax header before it only for what ustar's fields can't hold.

    ``mtime`` is in whole seconds. The same arguments give the same bytes, always.
    """
    records: dict[str, bytes] = {}
    prefix = b""
    if len(name) > 100:
        prefix, short = _split(name)
        if not short:
            records["path"] = name
        name = short or name[:100]
    if len(link) > 100:
        records["linkpath"] = link
        link = link[:100]
    if size > _MAX_LARGE:
        records["size"] = b"%d" % size
        size = 0
    if not 0 <= mtime <= _MAX_LARGE:
        records["mtime"] = b"%d" % mtime
        mtime = 0
    if uid > _MAX_SMALL or gid > _MAX_SMALL:
        records["uid"], records["gid"] = b"%d" % uid, b"%d" % gid
        uid = gid = 0
    if xattrs:
        for attribute, value in xattrs.items():
            records[XATTR + attribute] = value
    block = _block(name, kind, (mode, uid, gid), size, mtime, link, device, prefix)
    return _pax(records, name) + block if records else block


def _block(
    name: bytes,
    kind: bytes,
    ids: tuple[int, int, int],
    size: int,
    mtime: int,
    link: bytes,
    device: tuple[int, int],
    prefix: bytes,
) -> bytes:
    block = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\00000%b%07o\0%07o\0%b" % (
        name.ljust(100, b"\0"),
        *ids,
        size,
        mtime,
        kind,
        link.ljust(100, b"\0"),
        _NOBODY,
        *device,
        prefix.ljust(167, b"\0"),
    )
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])  # the sum takes its own field as spaces


def _split(name: bytes) -> tuple[bytes, bytes]:
    """ustar's prefix (at most 155 bytes) and name (at most 100), cut at a slash; empty when there is no such place."""
    if len(name) > 256:
        return b"", b""
    cut = name.find(b"/", len(name) - 101)
    if 0 < cut <= 155 and len(name) - cut - 1 > 0:
        return name[:cut], name[cut + 1 :]
    return b"", b""


def _pax(records: Mapping[str, bytes], name: bytes) -> bytes:
    body = b""
    for key in sorted(records):
        field = b" %b=%b\n" % (key.encode(errors="surrogateescape"), records[key])
        length = len(field)
        while len(b"%d" % length) + len(field) != length:
            length = len(b"%d" % length) + len(field)
        body += b"%d%b" % (length, field)
    label = (b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2])[:100]
    return _block(label, PAX, (0, 0, 0), len(body), 0, b"", (0, 0), b"") + body + padding(len(body))


def number(field: bytes) -> int:
    """A numeric field: octal text, or GNU's base-256 for what octal can't hold. Raises InvalidTar."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:  # negative, two's complement in all but the marking bit
            value -= 1 << (8 * len(field) - 1)
        return value
    text = field.strip(b" \0").partition(b"\0")[0]
    if not text:
        return 0
    try:
        return int(text, 8)
    except ValueError:
        raise InvalidTar from None


def pax_records(body: bytes) -> dict[str, bytes]:
    """The records of a pax header: ``LENGTH KEY=VALUE\\n``, LENGTH counting itself. Raises InvalidTar."""
    records: dict[str, bytes] = {}
    while body:
        digits, space, _ = body.partition(b" ")
        if not space or not digits.isdigit() or len(digits) > 9:
            raise InvalidTar
        length = int(digits)
        key, equals, value = body[len(digits) + 1 : length].partition(b"=")
        if not equals or not key or not value.endswith(b"\n") or length > len(body):
            raise InvalidTar
        records[os.fsdecode(key)] = value[:-1]
        body = body[length:]
    return records


_USUAL = re.compile(rb"([0-7]{7})[\0 ]([0-7]{7})[\0 ]([0-7]{7})[\0 ]([0-7]{11})[\0 ]([0-7]{11})[\0 ]([0-7]{6})[\0 ]")
MAX_ID = 0xFFFFFFFE  # the kernel's uid_t; -1 means "leave it" to chown
MAX_TIME = 1 << 40  # seconds either way from 1970; file systems hold less
_ADLER = 65521  # zlib.h: adler32's low half is one more than the sum of the bytes, modulo this


def fields(block: bytes) -> tuple[int, int, int, int, int]:
    """A header's mode, uid, gid, size (bytes) and mtime (seconds).

    Raises InvalidTar when they are malformed or its checksum is not right.
    """
    usual = _USUAL.match(block, 100)
    if usual:  # as nearly every writer fills them; five times as quick as one by one
        mode, uid, gid, size, mtime, expected = [int(text, 8) for text in usual.groups()]
        # zlib sums the block ten times as quickly as sum(), but for multiples of its modulus.
        total = (zlib.adler32(block) - 1) & 0xFFFF
        if (total - sum(block[148:156]) + 8 * 0x20 - expected) % _ADLER == 0:
            return mode, uid, gid, size, mtime
    else:
        mode, uid, gid = number(block[100:108]), number(block[108:116]), number(block[116:124])
        size, mtime, expected = number(block[124:136]), number(block[136:148]), number(block[148:156])
        if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID and abs(mtime) <= MAX_TIME and size >= 0):
            raise InvalidTar
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    # Some old tars sum signed bytes.
    if expected != unsigned and expected != unsigned - 256 * sum(byte > 127 for byte in block):
        raise InvalidTar
    return mode, uid, gid, size, mtime
