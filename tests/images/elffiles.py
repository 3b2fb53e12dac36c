"""ELF files made by hand, with nothing in them but what they need."""

from __future__ import annotations

import struct
from pathlib import Path

from dockmagic.images.standins import elf


def interpreter_of(path: str) -> str:
    """The loader that the program at ``path`` names."""
    with Path(path).open("rb") as file:
        return elf.read(file).interpreter


def library(
    needed: list[str], *, runpath: str = "", rpath: str = "", interpreter: str = "", machine: int = 62
) -> bytes:
    """An ELF file with a dynamic section and nothing else."""
    strings = b"\0"
    table: list[tuple[int, int]] = []

    def add(tag: int, text: str) -> None:
        nonlocal strings
        table.append((tag, len(strings)))
        strings += text.encode() + b"\0"

    for name in needed:
        add(1, name)
    if runpath:
        add(29, runpath)
    if rpath:
        add(15, rpath)
    segments = 3 if interpreter else 2
    at = 64 + segments * 56
    dynamic_size = (len(table) + 3) * 16
    strings_at = at + dynamic_size
    table = [*table, (5, 0x1000 + strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *pair) for pair in table)
    path = interpreter.encode() + b"\0"
    total = strings_at + len(strings) + len(path)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, segments, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0x1000, total, total, 0x1000)
    dyn = struct.pack("<IIQQQQQQ", 2, 4, at, at, at, dynamic_size, dynamic_size, 8)
    interp = struct.pack("<IIQQQQQQ", 3, 4, total - len(path), 0, 0, len(path), len(path), 1) if interpreter else b""
    return header + load + dyn + interp + dynamic + strings + path
