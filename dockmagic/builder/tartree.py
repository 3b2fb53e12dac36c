"""The build context as its tar came: indexed in one pass, read in place, never unpacked without need.

A handwritten reader of headers, for ``tarfile`` takes 60 µs a member: 5,000 files are 0.3 s of a cached build that
takes 0.15 s in all (bench row "cached build").
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from dockmagic.builder.tree import Entry, join
from dockmagic.errors import InvalidParameter

_BLOCK = 512
_KIND = {
    b"0": stat.S_IFREG, b"\0": stat.S_IFREG, b"7": stat.S_IFREG, b"2": stat.S_IFLNK, b"3": stat.S_IFCHR,
    b"4": stat.S_IFBLK, b"5": stat.S_IFDIR, b"6": stat.S_IFIFO,
}  # fmt: skip


@dataclass(slots=True)
class Member:
    """A tar member with its long names and PAX records applied. ``link`` is a symbolic or hard link's target."""

    name: str
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    """ns"""
    link: str
    device: tuple[int, int]
    offset: int
    xattrs: dict[str, bytes] = field(default_factory=dict)


def read_members(descriptor: int, start: int = 0) -> Iterator[Member]:
    """The members of an uncompressed tar (ustar, GNU, PAX). Raises InvalidParameter when it is no tar or ends early."""
    position = start
    size_of_file = os.fstat(descriptor).st_size
    pax: dict[str, bytes] = {}
    globally: dict[str, bytes] = {}
    long_name = long_link = b""
    while True:
        block = os.pread(descriptor, _BLOCK, position)
        if len(block) < _BLOCK:
            if not block:
                return  # without its two closing blocks, as docker accepts it
            raise InvalidParameter("unexpected EOF")
        if block[0] == 0 and not any(block):
            return
        position += _BLOCK
        if not _checks(block):
            raise InvalidParameter("archive/tar: invalid tar header")
        kind = block[156:157]
        size = _number(block[124:136])
        if kind in {b"x", b"g", b"L", b"K", b"X"}:
            data = os.pread(descriptor, size, position)
            position += -(-size // _BLOCK) * _BLOCK
            if kind == b"L":
                long_name = data.split(b"\0", 1)[0]
            elif kind == b"K":
                long_link = data.split(b"\0", 1)[0]
            elif kind == b"g":
                globally.update(_pax_records(data))
            else:
                pax.update(_pax_records(data))
            continue
        records = {**globally, **pax}
        size = int(records.get("size", size))
        if position + size > size_of_file:
            raise InvalidParameter("unexpected EOF")
        yield _member(block, kind, size, position, records, long_name, long_link)
        pax, long_name, long_link = {}, b"", b""
        if kind in {b"0", b"\0", b"7"}:
            position += -(-size // _BLOCK) * _BLOCK


def _member(
    block: bytes, kind: bytes, size: int, offset: int, pax: dict[str, bytes], long_name: bytes, long_link: bytes
) -> Member:
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    name = pax.get("path") or long_name or name
    link = pax.get("linkpath") or long_link or block[157:257].split(b"\0", 1)[0]
    mtime = _nanoseconds(pax["mtime"]) if "mtime" in pax else _number(block[136:148]) * 10**9
    xattrs = {key[13:]: value for key, value in pax.items() if key.startswith("SCHILY.xattr.")}
    return Member(
        os.fsdecode(name),
        b"5" if kind in {b"0", b"\0"} and name.endswith(b"/") else kind,
        _number(block[100:108]) & 0o7777,
        int(pax.get("uid", b"-1")) if "uid" in pax else _number(block[108:116]),
        int(pax.get("gid", b"-1")) if "gid" in pax else _number(block[116:124]),
        size,
        mtime,
        os.fsdecode(link),
        (_number(block[329:337]), _number(block[337:345])) if kind in {b"3", b"4"} else (0, 0),
        offset,
        xattrs,
    )


def _number(data: bytes) -> int:
    """An octal field, or GNU's base-256 form."""
    if data[0] & 0x80:
        return int.from_bytes(bytes([data[0] & 0x3F]) + data[1:], "big", signed=False)
    text = data.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise InvalidParameter("archive/tar: invalid tar header") from None


def _checks(block: bytes) -> bool:
    """Whether the header's checksum is right, over unsigned bytes or, as some old archivers wrote it, signed ones."""
    written = _number(block[148:156])
    total = sum(block) - sum(block[148:156]) + 8 * 32
    return written == total or written == total - 256 * sum(byte >= 128 for byte in block)


def _pax_records(data: bytes) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    position = 0
    while position < len(data) and data[position]:
        space = data.find(b" ", position)
        try:
            length = int(data[position:space])
        except ValueError:
            raise InvalidParameter("archive/tar: invalid tar header") from None
        key, _, value = data[space + 1 : position + length - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value
        position += max(length, 1)
    return records


def _nanoseconds(text: bytes) -> int:
    whole, _, fraction = text.partition(b".")
    return int(whole or b"0") * 10**9 + int((fraction + b"000000000")[:9])


class TarTree:
    """A context's tar as a tree. Owners are root's, as BuildKit makes them for a local context."""

    def __init__(self, descriptor: int) -> None:
        """Reads the index at once; ``descriptor`` has to stay open for the tree's life."""
        self._descriptor = descriptor
        self._entries: dict[str, Entry] = {"": Entry(stat.S_IFDIR | 0o755)}
        self._children: dict[str, set[str]] = {"": set()}
        for member in read_members(descriptor):
            self._add(member)

    def _add(self, member: Member) -> None:
        path = _inside(member.name)
        if member.kind == b"1":
            linked = self._entries.get(_inside(member.link))
            if linked is None:
                raise InvalidParameter(f"invalid hard link in context: {member.name} -> {member.link}")
            entry = Entry(linked.mode, 0, 0, linked.size, linked.mtime, offset=linked.offset, xattrs=linked.xattrs)
        elif member.kind in _KIND:
            kind = _KIND[member.kind]
            entry = Entry(
                kind | (0o777 if kind == stat.S_IFLNK else member.mode),
                size=member.size if kind == stat.S_IFREG else 0,
                mtime=member.mtime,
                target=member.link if kind == stat.S_IFLNK else "",
                device=member.device,
                xattrs=member.xattrs,
                offset=member.offset,
            )
        else:
            return
        if not path:
            if entry.is_folder:
                self._entries[""] = entry
            return
        self._put(path, entry)

    def _put(self, path: str, entry: Entry) -> None:
        folder, _, name = path.rpartition("/")
        parent = self._entries.get(folder)
        if parent is None or not parent.is_folder:
            self._put(folder, Entry(stat.S_IFDIR | 0o755, mtime=entry.mtime))
        old = self._entries.get(path)
        if old is not None and old.is_folder and not entry.is_folder:
            self._drop(path)
        self._entries[path] = entry
        self._children[folder].add(name)
        if entry.is_folder:
            self._children.setdefault(path, set())

    def _drop(self, path: str) -> None:
        for name in self._children.pop(path, ()):
            self._drop(join(path, name))
        self._entries.pop(path, None)

    def remove(self, path: str) -> None:
        """Take an entry and all below it out of the tree (``.dockerignore``)."""
        self._drop(path)
        folder, _, name = path.rpartition("/")
        self._children.get(folder, set()).discard(name)

    def lstat(self, path: str) -> Entry | None:
        return self._entries.get(path)

    def names(self, path: str) -> list[str]:
        return sorted(self._children[path], key=os.fsencode)

    def open_data(self, path: str, entry: Entry) -> tuple[int, int]:
        return self._descriptor, entry.offset

    def close_data(self, descriptor: int) -> None:
        """The one descriptor stays open."""


def _inside(name: str) -> str:
    """A member's name as a path in the tree: clean, and never above its root."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/".join(parts)
