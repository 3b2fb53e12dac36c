"""Gathering programs and their libraries, on machines made up for it."""

from __future__ import annotations

import io
import os
import platform
import stat
import tarfile
from pathlib import Path

import pytest

from dockmagic.errors import Unavailable
from dockmagic.images.standins import host, packing
from dockmagic.images.standins.gather import Gatherer
from dockmagic.images.standins.libraries import Libraries
from tests.images.elffiles import interpreter_of, library

linux = pytest.mark.skipif(platform.system() != "Linux", reason="runs Linux programs")


class Machine:
    """A file system of a machine in a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder

    def file(self, path: str, data: bytes | str = b"", mode: int = 0o755) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data if isinstance(data, bytes) else data.encode())
        place.chmod(mode)

    def link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def gatherer(self) -> Gatherer:
        return Gatherer(str(self.root))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


LOADER = "/lib64/ld-linux-x86-64.so.2"


def debian(machine: Machine) -> None:
    """A merged /usr with a multiarch glibc, dash and alternatives."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (machine.root / "usr" / name).mkdir(parents=True, exist_ok=True)
        machine.link(f"/{name}", f"usr/{name}")
    folder = "/usr/lib/x86_64-linux-gnu"
    machine.file("/usr/lib64/ld-linux-x86-64.so.2", library([]))
    machine.file(f"{folder}/libc.so.6", library(["ld-linux-x86-64.so.2"]))
    machine.file(f"{folder}/libm.so.6", library(["libc.so.6"]))
    machine.file("/usr/bin/dash", library(["libc.so.6"], interpreter=LOADER))
    machine.link("/usr/bin/sh", "dash")


def test_a_merged_usr_stays_merged(machine: Machine) -> None:
    debian(machine)
    machine.file("/usr/bin/ls", library(["libm.so.6"], interpreter=LOADER))
    gathered = machine.gatherer()
    assert gathered.program("sh")
    assert gathered.program("ls")
    links = {path: entry.link for path, entry in gathered.entries.items() if entry.link}
    assert links == {
        **{f"/{name}": f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")},
        "/usr/bin/sh": "dash",
    }
    files = {path for path, entry in gathered.entries.items() if stat.S_ISREG(entry.mode)}
    assert files == {
        *("/usr/bin/dash", "/usr/bin/ls", "/usr/lib64/ld-linux-x86-64.so.2"),
        *("/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libm.so.6"),
    }


def test_alternatives_are_followed(machine: Machine) -> None:
    debian(machine)
    machine.file("/usr/bin/mawk", library(["libc.so.6"], interpreter=LOADER))
    machine.link("/etc/alternatives/awk", str(machine.root / "usr/bin/mawk").replace(str(machine.root), ""))
    machine.link("/usr/bin/awk", "/etc/alternatives/awk")
    gathered = machine.gatherer()
    assert gathered.program("awk")
    assert gathered.entries["/etc/alternatives/awk"].link == "/usr/bin/mawk"
    assert "/usr/bin/mawk" in gathered.entries


def test_a_program_that_lacks_a_library_is_left_out(machine: Machine) -> None:
    debian(machine)
    machine.file("/usr/bin/tool", library(["libnone.so.1"], interpreter=LOADER))
    gathered = machine.gatherer()
    assert not gathered.program("tool")
    assert "/usr/bin/tool" not in gathered.entries


def test_a_library_for_another_machine_is_not_taken(machine: Machine) -> None:
    debian(machine)
    machine.file("/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n")
    machine.file("/etc/ld.so.conf.d/a.conf", "# first\n/opt/wrong\n/opt/right\n")
    machine.file("/opt/wrong/libx.so.1", library([], machine=183))
    machine.file("/opt/right/libx.so.1", library([]))
    machine.file("/usr/bin/tool", library(["libx.so.1"], interpreter=LOADER))
    gathered = machine.gatherer()
    assert gathered.program("tool")
    assert "/opt/right/libx.so.1" in gathered.entries
    assert "/opt/wrong/libx.so.1" not in gathered.entries
    assert not gathered.finds_all_libraries()


@pytest.mark.parametrize(
    ("runpath", "rpath"), [("$ORIGIN/../lib", ""), ("", "${ORIGIN}/../lib"), ("/opt/tool/lib", "")]
)
def test_paths_of_a_programs_own(machine: Machine, runpath: str, rpath: str) -> None:
    debian(machine)
    machine.file("/opt/tool/bin/tool", library(["liba.so"], runpath=runpath, rpath=rpath, interpreter=LOADER))
    machine.file("/opt/tool/lib/liba.so", library(["libc.so.6"]))
    machine.link("/usr/bin/tool", "../../opt/tool/bin/tool")
    gathered = machine.gatherer()
    assert gathered.program("tool")
    assert "/opt/tool/lib/liba.so" in gathered.entries


def test_rpath_serves_the_libraries_libraries_and_runpath_does_not(machine: Machine) -> None:
    debian(machine)
    machine.file("/opt/lib/liba.so", library(["libb.so"]))
    machine.file("/opt/lib/libb.so", library([]))
    machine.file("/usr/bin/old", library(["liba.so"], rpath="/opt/lib", interpreter=LOADER))
    machine.file("/usr/bin/new", library(["liba.so"], runpath="/opt/lib", interpreter=LOADER))
    libraries = Libraries(str(machine.root))
    assert libraries.closure("/usr/bin/old")[1] == []
    assert libraries.closure("/usr/bin/new")[1] == ["libb.so"]


def test_scripts_bring_their_shell_and_others_are_left_out(machine: Machine) -> None:
    debian(machine)
    machine.file("/usr/bin/which", "#!/bin/sh\necho\n")
    machine.file("/usr/bin/adduser", "#!/usr/bin/perl\n")
    gathered = machine.gatherer()
    assert gathered.program("which")
    assert "sh" in gathered.programs
    assert not gathered.program("adduser")


def test_set_id_bits_are_left_behind(machine: Machine) -> None:
    debian(machine)
    machine.file("/usr/bin/mount", library(["libc.so.6"], interpreter=LOADER), 0o4755)
    gathered = machine.gatherer()
    assert gathered.program("mount")
    assert stat.S_IMODE(gathered.entries["/usr/bin/mount"].mode) == 0o755


def test_links_in_a_circle_are_left_out(machine: Machine) -> None:
    debian(machine)
    machine.link("/usr/bin/a", "b")
    machine.link("/usr/bin/b", "a")
    gathered = machine.gatherer()
    assert not gathered.program("a")


def test_alpine_with_musl_and_busybox(machine: Machine) -> None:
    loader = "/lib/ld-musl-x86_64.so.1"
    machine.file(loader, library([]))
    machine.link("/lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")
    machine.file("/bin/busybox", library(["libc.musl-x86_64.so.1"], interpreter=loader))
    for name in ("sh", "ls", "cat"):
        machine.link(f"/bin/{name}", "/bin/busybox")
    machine.link("/usr/bin/env", "/bin/busybox")
    entries = {entry.path: entry for entry in host.gather(str(machine.root))}
    assert entries["/bin/sh"].link == "/bin/busybox"
    assert entries["/usr/bin/env"].link == "/bin/busybox"
    assert {loader, "/lib/libc.musl-x86_64.so.1", "/bin/busybox"} <= entries.keys()


@linux
def test_a_machine_with_nothing_but_busybox(machine: Machine) -> None:
    busybox = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), None)
    if busybox is None or interpreter_of(busybox):
        pytest.skip("no static busybox")
    machine.file("/bin/busybox", Path(busybox).read_bytes())
    entries = {entry.path: entry for entry in host.gather(str(machine.root))}
    assert entries["/bin/sh"].link == "busybox"
    assert entries["/bin/awk"].link == "busybox"
    assert "/bin/bash" not in entries


def test_busybox_applets_that_are_hard_links_are_stored_once(machine: Machine) -> None:
    machine.file("/bin/busybox", library([]) + bytes(10_000))
    for name in ("sh", "ls"):
        os.link(machine.root / "bin/busybox", machine.root / "bin" / name)
    out = io.BytesIO()
    packing.write(host.gather(str(machine.root)), out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        whole = [member.name for member in tar if member.isreg() and member.size > 9_000]
    assert len(whole) == 1


def test_a_machine_without_a_shell_says_so(machine: Machine) -> None:
    machine.file("/bin/ls", library([]))
    with pytest.raises(Unavailable, match="dockmagic/host can't be made on this machine"):
        host.gather(str(machine.root))
