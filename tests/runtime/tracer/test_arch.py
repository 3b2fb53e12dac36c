"""The tables of both machines: against what the kernel's headers say, and this machine's own against its kernel."""

from __future__ import annotations

import ctypes
import os
import struct

import pytest

from dockmagic.runtime.tracer.arch import current
from dockmagic.runtime.tracer.arch.aarch64 import ARCHITECTURE as AARCH64
from dockmagic.runtime.tracer.arch.x86_64 import ARCHITECTURE as X86_64
from dockmagic.runtime.tracer.registers import Registers

# One file's struct stat as an arm64 kernel (Debian 6.1) fills it, by asm-generic/stat.h: device 254:1, inode 1311, a
# regular file 0644 with 2 links, 1000:100, 4096 bytes.
AARCH64_STAT = (
    struct.pack("=QQIIIIQQ", os.makedev(254, 1), 1311, 0o100644, 2, 1000, 100, 0, 0)
    + struct.pack("=qiiq", 4096, 4096, 0, 8)
    + struct.pack("=qQqQqQII", 1, 2, 3, 4, 5, 6, 0, 0)
)


def test_aarch64_numbers_are_the_generic_ones() -> None:
    """asm-generic/unistd.h"""
    expected = {
        "getcwd": 17, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38,
        "faccessat": 48, "chdir": 49, "openat": 56, "readlinkat": 78, "newfstatat": 79, "fstat": 80, "utimensat": 88,
        "clone": 220, "execve": 221, "mmap": 222, "execveat": 281, "statx": 291, "openat2": 437, "faccessat2": 439,
    }  # fmt: skip
    assert {name: AARCH64.numbers[name] for name in expected} == expected
    assert not {"open", "stat", "fork", "vfork", "rename", "chmod"} & set(AARCH64.numbers)


def test_aarch64_stat_offsets() -> None:
    layout = AARCH64.stat
    assert len(AARCH64_STAT) == layout.size
    assert struct.unpack_from("=I", AARCH64_STAT, layout.mode) == (0o100644,)
    assert struct.unpack_from("=II", AARCH64_STAT, layout.uid) == (1000, 100)
    assert layout.gid == layout.uid + 4


def test_aarch64_registers_are_user_pt_regs() -> None:
    """31 general registers, sp, pc, pstate: 272 bytes (arch/arm64/include/uapi/asm/ptrace.h)."""
    assert AARCH64.register_count * 8 == 272
    assert (AARCH64.arguments, AARCH64.result, AARCH64.number) == ((0, 1, 2, 3, 4, 5), 0, 8)
    assert (AARCH64.stack, AARCH64.instruction, AARCH64.call_size) == (31, 32, 4)
    assert AARCH64.number_register_set == 0x404


def test_x86_64_registers_are_user_regs_struct() -> None:
    """27 words (sys/user.h)."""
    assert X86_64.register_count * 8 == 216
    registers = Registers(X86_64)
    registers.words[X86_64.instruction] = 0x1000
    registers.again(257)
    assert registers.words[X86_64.instruction] == 0x0FFE
    assert registers.words[X86_64.result] == 257


def test_aarch64_makes_a_call_again_by_going_back() -> None:
    registers = Registers(AARCH64)
    registers.words[AARCH64.instruction], registers.words[8], registers.words[0] = 0x1000, 56, 7
    registers.again(56)
    assert [registers.words[0], registers.words[8], registers.words[32]] == [7, 56, 0x0FFC]


def test_the_same_calls_are_known_on_both_where_both_have_them() -> None:
    only_x86 = set(X86_64.numbers) - set(AARCH64.numbers)
    assert only_x86 <= {
        "open", "creat", "access", "rename", "link", "mkdir", "rmdir", "unlink", "symlink", "readlink", "chmod",
        "chown", "lchown", "mknod", "utime", "utimes", "futimesat", "stat", "lstat", "fork", "vfork", "iopl", "ioperm",
    }  # fmt: skip
    assert set(AARCH64.numbers) <= set(X86_64.numbers)


def test_this_machines_stat_layout_is_the_kernels(tmp_path: object) -> None:
    arch = current()
    if arch is None:
        pytest.skip("neither x86_64 nor aarch64")
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(arch.numbers["newfstatat"], -100, b"/dev/null", buffer, 0) == 0
    real = os.stat("/dev/null")
    assert struct.unpack_from("=I", buffer, arch.stat.mode) == (real.st_mode,)
    assert struct.unpack_from("=II", buffer, arch.stat.uid) == (real.st_uid, real.st_gid)
    assert struct.unpack_from("=Q", buffer, arch.stat.device) == (real.st_rdev,)
    assert struct.unpack_from("=QQ", buffer, 0) == (real.st_dev, real.st_ino)
