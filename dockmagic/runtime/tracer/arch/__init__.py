"""What differs between machines: call numbers, places of registers, the kernel's struct stat. Tables, no code."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StatLayout:
    """Offsets in bytes inside the struct stat that newfstatat fills; ids and mode are 32 bits, the device 64."""

    size: int
    mode: int
    uid: int
    gid: int
    device: int
    """st_rdev"""


@dataclass(frozen=True, eq=False)
class Architecture:
    """One machine's tables. Register numbers count 64-bit words of the set that NT_PRSTATUS gives."""

    name: str
    elf_machine: int
    audit: int
    foreign_bit: int
    """Set in the numbers of another ABI of the same machine (x32), which is refused; 0 where there is none."""
    numbers: Mapping[str, int]
    register_count: int
    arguments: tuple[int, int, int, int, int, int]
    number: int
    result: int
    instruction: int
    stack: int
    call_size: int
    """Bytes of the instruction that enters the kernel: going back by so many makes the call again."""
    number_register_set: int
    """The register set through which the call's number is changed; 0 where it is one of the ordinary registers."""
    stat: StatLayout


def current() -> Architecture | None:
    """This machine's tables, or None where the tracer doesn't know the machine."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        from dockmagic.runtime.tracer.arch.x86_64 import ARCHITECTURE

        return ARCHITECTURE
    if machine in ("aarch64", "arm64"):
        from dockmagic.runtime.tracer.arch.aarch64 import ARCHITECTURE as AARCH64

        return AARCH64
    return None
