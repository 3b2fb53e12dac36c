"""A program written byte by byte, and what is read of other programs' headers."""

from __future__ import annotations

import io
import os
import platform
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic.images.standins import elf, hello, program
from dockmagic.images.standins.libraries import Libraries
from tests.images.elffiles import interpreter_of, library

linux = pytest.mark.skipif(platform.system() != "Linux", reason="runs Linux programs")


def executable(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o755)
    return str(path)


@linux
def test_the_program_prints_and_exits(tmp_path: Path) -> None:
    text = b"one\ntwo\n" * 20_000  # more than a pipe holds: writes are short
    if platform.machine() not in program.MACHINES:
        pytest.skip(f"no program for {platform.machine()}")
    path = executable(tmp_path / "program", program.printing(text, platform.machine()))
    done = subprocess.run([path], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, text)
    with open("/dev/full", "wb") as full:
        assert subprocess.run([path], stdout=full, check=False).returncode == 1


@linux
@pytest.mark.parametrize("machine", program.MACHINES)
def test_the_program_runs_on_other_machines_too(tmp_path: Path, machine: str) -> None:
    emulator = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
    if emulator is None:
        pytest.skip(f"no qemu-{machine}")
    path = executable(tmp_path / "program", program.printing(b"hello\n", machine))
    assert subprocess.run([emulator, path], capture_output=True, check=True).stdout == b"hello\n"


def test_the_programs_bytes_for_arm64_are_those_that_ran() -> None:
    """The code was run under qemu-aarch64 when it was written; there is seldom one where the tests run."""
    code = program.printing(b"", "aarch64")[176:]
    assert code.hex() == (
        "020080d20200a0f2e1010010200080d2080880d2010000d41f0000f1cd0000542100008b420000eb21ffff54000080d2"
        "02000014200080d2a80b80d2010000d4000020d4"
    )


@pytest.mark.parametrize("machine", program.MACHINES)
def test_the_program_is_a_static_elf_file(machine: str) -> None:
    found = elf.read(io.BytesIO(program.printing(b"x", machine)))
    assert found == elf.Program((2, 1, {"x86_64": 62, "aarch64": 183}[machine]))


def test_hello_tells_the_size_of_its_own_file() -> None:
    data = hello.program("x86_64", "amd64")
    assert b"Hello from dockmagic!" in data
    assert f"a {len(data)} byte program written for this machine (amd64)".encode() in data
    assert max(len(line) for line in data[400:].split(b"\n")) <= 80


def test_reading_what_a_program_needs() -> None:
    data = library(["libb.so.2", "libc.so.6"], runpath="$ORIGIN/../lib:/opt/x", interpreter="/lib64/ld.so")
    assert elf.read(io.BytesIO(data)) == elf.Program(
        (2, 1, 62), "/lib64/ld.so", ("libb.so.2", "libc.so.6"), (), ("$ORIGIN/../lib", "/opt/x")
    )


@pytest.mark.parametrize("cut", [0, 3, 15, 40, 63, 100, 170, 240])
def test_a_broken_file_is_no_program(cut: int) -> None:
    data = library(["libb.so.2"], interpreter="/lib64/ld.so")
    with pytest.raises(elf.NotElf):
        elf.read(io.BytesIO(data[:cut]))


def test_nonsense_in_the_headers_is_no_program() -> None:
    data = bytearray(library(["libb.so.2"]))
    struct.pack_into("<Q", data, 64 + 56 + 32, 1 << 60)  # the size of the dynamic section
    with pytest.raises(elf.NotElf):
        elf.read(io.BytesIO(bytes(data)))


@given(at=st.integers(0, 400), data=st.binary(min_size=1, max_size=16))
def test_any_nonsense_is_no_program_or_another(at: int, data: bytes) -> None:
    whole = bytearray(library(["libb.so.2", "libc.so.6"], runpath="/x", interpreter="/lib64/ld.so"))
    whole[at : at + len(data)] = data
    try:
        elf.read(io.BytesIO(bytes(whole)))
    except elf.NotElf:
        pass


@linux
def test_the_machines_own_shell_is_read_as_ldd_reads_it() -> None:
    if shutil.which("ldd") is None or not interpreter_of("/bin/sh"):
        pytest.skip("no ldd, or a static shell")
    listed = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    expected = {os.path.basename(line.split()[0]) for line in listed.splitlines() if "vdso" not in line}
    files, missing = Libraries().closure("/bin/sh")
    assert missing == []
    assert {os.path.basename(path) for path in files} == expected
