"""The seccomp filter: which calls stop for the tracer, which fail or seem to succeed at once, which run untouched.

A program of classic BPF over struct seccomp_data (linux/seccomp.h): number at 0, machine at 4, arguments from 16,
eight bytes each, the low half first on both machines.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from dockmagic.runtime.tracer.arch import Architecture

# linux/seccomp.h
ALLOW = 0x7FFF0000
TRACE = 0x7FF00000
ERRNO = 0x00050000

# linux/bpf_common.h: load a word, jump if equal, greater or equal, any bit set, return
_LOAD = 0x20
_EQUAL = 0x15
_AT_LEAST = 0x35
_ANY_BIT = 0x45
_RETURN = 0x06

_ENOSYS = 38
_BLOCK = 16
"""Calls compared one after another before the next jump ahead; jumps reach 255 instructions."""


def answer(code: int) -> int:
    """The action that fails with errno ``code`` at once; 0 seems to succeed."""
    return ERRNO | code


@dataclass(frozen=True)
class Case:
    """If argument ``argument`` (0 to 5) is ``value`` (with ``bits``: has any of the bits), then ``action``.

    ``wide`` compares all 64 bits, as pointers need; else the low 32.
    """

    argument: int
    value: int
    action: int
    bits: bool = False
    wide: bool = False


class FilterBuilder:
    """Collects what to do with each call by its name; names the machine doesn't have are passed over."""

    def __init__(self, arch: Architecture) -> None:
        self._arch = arch
        self._rules: dict[int, tuple[tuple[Case, ...], int]] = {}

    def add(self, name: str, action: int, *cases: Case) -> None:
        """The first case that holds decides, else ``action``."""
        number = self._arch.numbers.get(name)
        if number is not None:
            self._rules[number] = (cases, action)

    def build(self) -> bytes:
        """The program: struct sock_filter items."""
        out: list[tuple[int, int, int, int]] = []
        out += [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, self._arch.audit), (_RETURN, 0, 0, answer(_ENOSYS)), (_LOAD, 0, 0, 0)]
        if self._arch.foreign_bit:
            out += [(_AT_LEAST, 0, 1, self._arch.foreign_bit), (_RETURN, 0, 0, answer(_ENOSYS))]
        numbers = sorted(self._rules)
        for at in range(0, len(numbers), _BLOCK):
            block = [item for number in numbers[at : at + _BLOCK] for item in self._one(number)]
            block.append((_RETURN, 0, 0, ALLOW))
            following = numbers[at + _BLOCK] if at + _BLOCK < len(numbers) else 0xFFFFFFFF
            out += [(_AT_LEAST, len(block), 0, following), *block]
        out.append((_RETURN, 0, 0, ALLOW))
        return b"".join(struct.pack("=HBBI", *item) for item in out)

    def _one(self, number: int) -> list[tuple[int, int, int, int]]:
        cases, action = self._rules[number]
        body: list[tuple[int, int, int, int]] = []
        for case in cases:
            low = (_LOAD, 0, 0, 16 + 8 * case.argument)
            test = _ANY_BIT if case.bits else _EQUAL
            decide = (_RETURN, 0, 0, case.action)
            if case.wide:
                body += [low, (test, 0, 3, case.value & 0xFFFFFFFF), (_LOAD, 0, 0, 20 + 8 * case.argument)]
                body += [(test, 0, 1, case.value >> 32), decide]
            else:
                body += [low, (test, 0, 1, case.value & 0xFFFFFFFF), decide]
        body.append((_RETURN, 0, 0, action))
        return [(_EQUAL, 0, len(body), number), *body]


def run(program: bytes, number: int, audit: int, arguments: tuple[int, ...] = ()) -> int:
    """What ``program`` decides: a small interpreter, so that a filter can be looked at without a kernel."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, audit, 0, *values)
    items = list(struct.iter_unpack("=HBBI", program))
    tests: dict[int, Callable[[int, int], bool]] = {
        _EQUAL: lambda a, k: a == k,
        _AT_LEAST: lambda a, k: a >= k,
        _ANY_BIT: lambda a, k: bool(a & k),
    }
    at = accumulator = 0
    while True:
        code, yes, no, k = items[at]
        at += 1
        if code == _LOAD:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == _RETURN:
            return int(k)
        else:
            at += yes if tests[code](accumulator, k) else no
