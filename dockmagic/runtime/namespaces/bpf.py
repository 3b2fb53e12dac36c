"""A small builder of seccomp programs: per architecture, what to do with which system call.

The classic BPF of linux/filter.h and linux/bpf_common.h; the data it reads is struct seccomp_data of linux/seccomp.h.
Call numbers are found by binary search, so an allowed call costs some seven comparisons (and nothing at all on kernels
from 5.11, which remember calls that are always allowed).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

ALLOW = 0x7FFF0000
ASK = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
_ERRNO = 0x00050000

AUDIT_X86_64 = 0xC000003E
AUDIT_I386 = 0x40000003
AUDIT_AARCH64 = 0xC00000B7

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_NOT_BELOW = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_GO = 0x05  # BPF_JMP | BPF_JA
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LEAF = 4

Block: TypeAlias = "list[bytes]"


def _instruction(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, k)


def errno(code: int) -> int:
    """The action that makes a call fail with ``code`` (0: succeed without doing anything)."""
    return _ERRNO | code


def always(action: int) -> Block:
    return [_instruction(_RETURN, action)]


def by_value(argument: int, values: tuple[int, ...], matching: int, others: int) -> Block:
    """``matching`` when an argument (its low 32 bits) is one of ``values``."""
    count = len(values)
    tests = [_instruction(_EQUAL, value, count - at, 0) for at, value in enumerate(values)]
    return [_argument(argument), *tests, *always(others), *always(matching)]


def by_bits(argument: int, bits: int, matching: int, others: int) -> Block:
    """``matching`` when an argument has any of ``bits``."""
    return [_argument(argument), _instruction(_ANY_BIT, bits, 0, 1), *always(matching), *always(others)]


def by_masked_value(argument: int, mask: int, values: tuple[int, ...], matching: int, others: int) -> Block:
    """As :func:`by_value`, of the argument's bits in ``mask``."""
    load, *rest = by_value(argument, values, matching, others)
    return [load, _instruction(_AND, mask), *rest]


def _argument(number: int) -> bytes:
    # The low half: it comes first on the little-endian machines there are
    return _instruction(_LOAD, _ARGUMENTS + 8 * number)


def program(rules: Mapping[int, Mapping[int, Block]], *, last: int | None, foreign: int) -> bytes:
    """The program: architecture -> call number -> block; other calls are allowed.

    Numbers above ``last`` (calls newer than the rules) fail with ENOSYS; None allows them. ``foreign`` is the action
    for architectures without rules.
    """
    code: Block = [_instruction(_LOAD, _ARCHITECTURE)]
    for architecture, calls in rules.items():
        section = [_instruction(_LOAD, _NUMBER)]
        if last is not None:
            section += [_instruction(_NOT_BELOW, last + 1, 0, 1), *always(errno(38))]
        section += _search(sorted(calls.items()))
        code += [_instruction(_EQUAL, architecture, 1, 0), _instruction(_GO, len(section)), *section]
    return b"".join([*code, *always(foreign)])


def _search(calls: list[tuple[int, Block]]) -> Block:
    if len(calls) > _LEAF:
        middle = len(calls) // 2
        low, high = _search(calls[:middle]), _search(calls[middle:])
        return [_instruction(_NOT_BELOW, calls[middle][0], 0, 1), _instruction(_GO, len(low)), *low, *high]
    code: Block = []
    for number, block in calls:
        code += [_instruction(_EQUAL, number, 0, len(block)), *block]
    return [*code, *always(ALLOW)]
