"""Writes the smallest static ELF program that prints a text: write(1, text), then exit.

The machine code is assembled here by hand; each line names its instruction. Encodings: Intel SDM volume 2, Arm ARM
(DDI 0487) chapter C6; system call numbers: the kernel's asm/unistd.h of each machine.
"""

from __future__ import annotations

import struct

MACHINES = ("x86_64", "aarch64")
_EM = {"x86_64": 62, "aarch64": 183}
_PT_LOAD, _PT_GNU_STACK = 1, 0x6474E551
_BASE = 0x400000
_PAGE = 0x10000
"""alignment that fits kernels of 4, 16 and 64 KiB pages"""
_HEADERS = 64 + 2 * 56


def printing(text: bytes, machine: str) -> bytes:
    """An executable ELF file for ``machine`` (one of MACHINES) that writes ``text`` to stdout and exits with 0.

    It writes again after a short write, and exits with 1 when a write fails.
    """
    code = _x86_64(len(text)) if machine == "x86_64" else _aarch64(len(text))
    size = _HEADERS + len(code) + len(text)
    entry = _BASE + _HEADERS
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bit, little endian, version 1, System V
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, _EM[machine], 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", _PT_LOAD, 5, 0, _BASE, _BASE, size, size, _PAGE)  # 5: read and execute
    stack = struct.pack("<IIQQQQQQ", _PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16)  # 6: the stack is not executable
    return header + load + stack + code + text


def _x86_64(length: int) -> bytes:
    before = b"\xbb" + struct.pack("<I", length)  # mov ebx, length
    loop = [
        b"\xbf\x01\x00\x00\x00",  # mov edi, 1          stdout
        b"\x89\xda",  # mov edx, ebx
        b"\xb8\x01\x00\x00\x00",  # mov eax, 1          write
        b"\x0f\x05",  # syscall
        b"\x48\x85\xc0",  # test rax, rax
        b"\x7e\x0b",  # jle failed          (11 bytes on)
        b"\x48\x01\xc6",  # add rsi, rax
        b"\x29\xc3",  # sub ebx, eax
    ]
    body = b"".join(loop)
    back = struct.pack("<b", -(len(body) + 2))
    end = [
        b"\x75" + back,  # jne loop
        b"\x31\xff",  # xor edi, edi
        b"\xeb\x05",  # jmp exit            (5 bytes on)
        b"\xbf\x01\x00\x00\x00",  # failed: mov edi, 1
        b"\xb8\x3c\x00\x00\x00",  # exit: mov eax, 60     exit
        b"\x0f\x05",  # syscall
    ]
    after = body + b"".join(end)
    return before + b"\x48\x8d\x35" + struct.pack("<i", len(after)) + after  # lea rsi, [rip + after]


def _aarch64(length: int) -> bytes:
    # ADR's offset is its distance to the text: 16 instructions, less the two before it
    distance = (17 - 2) * 4
    words = [
        0xD2800002 | (length & 0xFFFF) << 5,  # movz x2, length
        0xF2A00002 | (length >> 16) << 5,  # movk x2, length >> 16, lsl 16
        0x10000001 | (distance >> 2) << 5,  # adr x1, text
        0xD2800020,  # loop: movz x0, 1     stdout
        0xD2800808,  # movz x8, 64          write
        0xD4000001,  # svc 0
        0xF100001F,  # cmp x0, 0
        0x5400000D | 6 << 5,  # b.le failed         (6 instructions on)
        0x8B000021,  # add x1, x1, x0
        0xEB000042,  # subs x2, x2, x0
        0x54000001 | (-7 & 0x7FFFF) << 5,  # b.ne loop           (7 instructions back)
        0xD2800000,  # movz x0, 0
        0x14000002,  # b exit              (2 instructions on)
        0xD2800020,  # failed: movz x0, 1
        0xD2800BA8,  # exit: movz x8, 93    exit
        0xD4000001,  # svc 0
        0xD4200000,  # brk 0               never reached; keeps the text apart
    ]
    return struct.pack(f"<{len(words)}I", *words)
