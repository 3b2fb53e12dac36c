"""Programs as execve sees them, and copies of them with another loader."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dockmagic.runtime.tracer.arch import current
from dockmagic.runtime.tracer.elf import Program, Programs, examine, prune

MACHINE = arch.elf_machine if (arch := current()) else 0
DYNAMIC = "/usr/bin/env"


def look(path: Path, content: bytes) -> Program:
    path.write_bytes(content)
    return examine(os.fsencode(path), MACHINE)


@pytest.mark.parametrize(
    ("line", "interpreter", "argument"),
    [
        (b"#!/bin/sh\nx", b"/bin/sh", None),
        (b"#! /usr/bin/env  python3 -I \n", b"/usr/bin/env", b"python3 -I"),
        (b"#!/bin/sh", b"/bin/sh", None),
    ],
)
def test_scripts(tmp_path: Path, line: bytes, interpreter: bytes, argument: bytes | None) -> None:
    program = look(tmp_path / "f", line)
    assert (program.kind, program.interpreter, program.argument) == ("script", interpreter, argument)


def test_what_is_no_program(tmp_path: Path) -> None:
    assert look(tmp_path / "f", b"").kind == "unknown"
    assert look(tmp_path / "f", b"#!\n").kind == "unknown"
    assert look(tmp_path / "f", b"echo hi\n").kind == "unknown"
    assert look(tmp_path / "f", b"\x7fELF").kind == "unknown"
    assert look(tmp_path / "f", b"\x7fELF\1\1\1" + bytes(100)).kind == "foreign"  # 32 bits
    assert look(tmp_path / "f", b"\x7fELF\2\1\1" + bytes(100)).kind == "foreign"  # no machine at all


def loader_of(path: str) -> bytes:
    program = examine(os.fsencode(path), MACHINE)
    if program.kind != "dynamic":
        pytest.skip(f"{path} is not a dynamic program here")
    return program.interpreter


def test_a_copy_runs_with_the_other_loader(tmp_path: Path) -> None:
    loader = loader_of(DYNAMIC)
    programs = Programs(os.fsencode(tmp_path / "copies"), MACHINE)
    host = os.fsencode(os.path.realpath(DYNAMIC))
    real = os.stat(host)
    copy = programs.runnable(host, real, programs.examine(host, real), os.path.realpath(loader), b"other-name")
    assert os.path.basename(copy) == b"other-name"
    seen = examine(copy, MACHINE)
    assert seen.interpreter.startswith(os.fsencode(tmp_path / "copies"))
    assert subprocess.run([copy, "echo", "works"], stdout=-1, check=True).stdout == b"works\n"
    again = programs.runnable(host, real, programs.examine(host, real), os.path.realpath(loader), b"third")
    assert os.stat(again).st_ino == os.stat(copy).st_ino
    assert Path(os.fsdecode(host)).read_bytes() != Path(os.fsdecode(copy)).read_bytes()


def test_old_copies_go_when_there_are_too_many(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "prog").write_bytes(bytes(1000))
        os.utime(tmp_path / name, (number, number))
    (tmp_path / "as-gone").mkdir()
    (tmp_path / "as-gone/ls").symlink_to(tmp_path / "nothing")
    (tmp_path / "as-kept").mkdir()
    (tmp_path / "as-kept/ls").symlink_to(shutil.which("true") or "/bin/true")
    prune(os.fsencode(tmp_path), 1500)
    assert sorted(os.listdir(tmp_path)) == ["as-kept", "new"]
