"""What a program's ELF headers say about the shared libraries it needs. Read only, bounds checked.

Numbers are those of the System V ABI, gABI 4.1, chapters 4 and 5, and of glibc's elf.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 10, 15, 29
_TABLE_LIMIT = 1 << 20
"""bytes; a program's header, dynamic or string table is far smaller, so a bigger one is nonsense"""


class NotElf(ValueError):
    """The file is no ELF file, or a broken one."""


@dataclass(frozen=True)
class Program:
    """The dynamic part of an ELF file. ``abi`` (class, byte order, machine) is equal for files that fit each other."""

    abi: tuple[int, int, int]
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


def read(file: BinaryIO) -> Program:
    """Read the headers of a seekable binary file. Raises NotElf."""
    try:
        return _Reader(file).program()
    except NotElf:
        raise
    except (struct.error, ValueError, OverflowError, OSError) as error:  # offsets and strings that lead nowhere
        raise NotElf(str(error)) from error


class _Reader:
    """Reads one file; the class and byte order found in its first bytes decide every structure's form."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        ident = self._at(0, 16)
        if ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise NotElf("not an ELF file")
        self._wide = ident[4] == 2
        self._order = "<" if ident[5] == 1 else ">"
        self._ident = ident

    def _at(self, offset: int, size: int) -> bytes:
        if size > _TABLE_LIMIT:
            raise NotElf("a table in the file is too big")
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise NotElf("the file ends early")
        return data

    def program(self) -> Program:
        if self._wide:
            header = struct.unpack(self._order + "HHIQQQIHHH", self._at(16, 42))
        else:
            header = struct.unpack(self._order + "HHIIIIIHHH", self._at(16, 30))
        machine, table, entry_size, count = header[1], header[4], header[8], header[9]
        segments = [self._segment(table + index * entry_size) for index in range(count)]
        abi = (self._ident[4], self._ident[5], machine)
        interpreter = ""
        for kind, offset, _, size in segments:
            if kind == _PT_INTERP:
                interpreter = self._at(offset, size).split(b"\0")[0].decode()
        for kind, offset, _, size in segments:
            if kind == _PT_DYNAMIC:
                return self._dynamic(abi, interpreter, self._at(offset, size), segments)
        return Program(abi, interpreter)

    def _segment(self, at: int) -> tuple[int, int, int, int]:
        """(type, offset in the file, address, size in the file) of one program header."""
        if self._wide:
            kind, _, offset, address, _, size = struct.unpack(self._order + "IIQQQQ", self._at(at, 40))
        else:
            kind, offset, address, _, size = struct.unpack(self._order + "IIIII", self._at(at, 20))
        return kind, offset, address, size

    def _dynamic(
        self, abi: tuple[int, int, int], interpreter: str, table: bytes, segments: list[tuple[int, int, int, int]]
    ) -> Program:
        form = self._order + ("qQ" if self._wide else "iI")
        whole = len(table) - len(table) % struct.calcsize(form)
        names: dict[int, list[int]] = {_DT_NEEDED: [], _DT_RPATH: [], _DT_RUNPATH: []}
        address = size = 0
        for tag, value in struct.iter_unpack(form, table[:whole]):
            if tag == _DT_NULL:
                break
            if tag == _DT_STRTAB:
                address = value
            elif tag == _DT_STRSZ:
                size = value
            elif tag in names:
                names[tag].append(value)
        strings = self._at(_file_offset(address, segments), size) if address else b""

        def text(tag: int) -> list[str]:
            return [strings[at : strings.index(b"\0", at)].decode() for at in names[tag] if at < len(strings)]

        def folders(tag: int) -> tuple[str, ...]:
            return tuple(folder for value in text(tag) for folder in value.split(":") if folder)

        return Program(abi, interpreter, tuple(text(_DT_NEEDED)), folders(_DT_RPATH), folders(_DT_RUNPATH))


def _file_offset(address: int, segments: list[tuple[int, int, int, int]]) -> int:
    for kind, offset, start, size in segments:
        if kind == _PT_LOAD and start <= address < start + size:
            return offset + address - start
    raise NotElf("the string table lies outside the file")
