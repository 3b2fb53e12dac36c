"""Where one id is all, what packages wanted is remembered for the layers."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic import ownership
from dockmagic.ownership import Recorded
from tests.runtime.conftest import Machine


@pytest.fixture
def place(unprivileged: dict[str, str]) -> Iterator[tuple[Machine, Path]]:
    """A machine with one id, and its container's /tmp/owners from outside."""
    machine = Machine("single", unprivileged["single"], "rootless")
    if not any(finding.name == "owner records" and finding.ok for finding in machine.capability().findings):
        machine.close()
        pytest.skip("this kernel's filters can't ask, or this file system keeps no attributes")
    assert machine.run("mkdir", "/tmp/owners")[0] == 0
    yield machine, machine.folder / "rootfs" / "tmp" / "owners"
    machine.close()


def _run(machine: Machine, script: str) -> None:
    code, _out, err = machine.run("sh", "-ec", script, cwd="/tmp/owners")
    assert (code, err) == (0, b"")


def test_owners_and_modes(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    _run(machine, "touch a b; mkdir d; chown 5:6 a; chmod 4750 a; chown 7:8 b; chown 3:4 d; chmod 2755 d")
    assert ownership.read(str(folder / "a")) == Recorded(5, 6, stat.S_IFREG | 0o4750)
    assert ownership.read(str(folder / "b")) == Recorded(7, 8, stat.S_IFREG | 0o644)
    assert ownership.read(str(folder / "d")) == Recorded(3, 4, stat.S_IFDIR | 0o2755)
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o4750


def test_a_change_of_owner_clears_set_id_bits(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    _run(machine, "touch a; chmod 6755 a; chown 5:6 a")
    assert ownership.read(str(folder / "a")) == Recorded(5, 6, stat.S_IFREG | 0o755)
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o755


def test_what_is_roots_again_needs_no_record(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    _run(machine, "touch a b; chown 5:6 a; chown 0:0 a b")
    assert ownership.read(str(folder / "a")) is None
    assert ownership.read(str(folder / "b")) is None


def test_links_are_followed_inside_the_root_only(place: tuple[Machine, Path], tmp_path: Path) -> None:
    machine, folder = place
    outside = tmp_path / "outside"
    outside.touch()
    _run(machine, f"touch /tmp/target; ln -s /tmp/target l; ln -s {outside} out; chown 9:9 l; chown -h 8:8 l")
    assert ownership.read(str(folder.parent / "target")) == Recorded(9, 9, stat.S_IFREG | 0o644)
    assert machine.run("chown", "9:9", "/tmp/owners/out")[0] == 1
    assert ownership.read(str(outside)) is None


def test_paths_from_any_folder(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    _run(machine, "mkdir -p d/e; touch d/f; cd d/e; chown 2:2 ../f; cd /; chown 3:3 tmp/owners/d/e")
    assert ownership.read(str(folder / "d" / "f")) == Recorded(2, 2, stat.S_IFREG | 0o644)
    assert ownership.read(str(folder / "d" / "e")) == Recorded(3, 3, stat.S_IFDIR | 0o755)


def test_a_chroot_in_the_container(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    _run(machine, "mkdir -p r/bin r/tmp; cp /bin/busybox r/bin; touch r/tmp/x; chroot r /bin/busybox chown 4:5 /tmp/x")
    assert ownership.read(str(folder / "r" / "tmp" / "x")) == Recorded(4, 5, stat.S_IFREG | 0o644)


def test_devices_are_stood_for(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    _run(machine, "mknod null c 1 3; mknod -m 660 disk b 8 1; mkfifo pipe; chown 0:6 disk")
    assert ownership.read(str(folder / "null")) == Recorded(0, 0, stat.S_IFCHR | 0o644, 1, 3)
    assert ownership.read(str(folder / "disk")) == Recorded(0, 6, stat.S_IFBLK | 0o660, 8, 1)
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)
    code, _out, err = machine.run("mknod", "/tmp/owners/null", "c", "1", "3")
    assert (code, b"File exists" in err) == (1, True)


def test_errors_are_the_kernels(place: tuple[Machine, Path]) -> None:
    machine, _folder = place
    code, _out, err = machine.run("chown", "5", "/no/such")
    assert (code, err) == (1, b"chown: /no/such: No such file or directory\n")


def test_an_exec_is_asked_too(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    container = machine.prepare("sleep", "100")
    container.start()
    assert machine.run_exec(container, "sh", "-c", "touch /tmp/owners/x; chown 5:5 /tmp/owners/x")[0] == 0
    assert ownership.read(str(folder / "x")) == Recorded(5, 5, stat.S_IFREG | 0o644)
    container.signal(9)
    container.wait(5)
    container.close()


def test_many_questions_leave_no_descriptor_open(place: tuple[Machine, Path]) -> None:
    machine, folder = place
    script = "for i in $(seq 1 1500); do echo $i; done | xargs touch; chown 5:6 *; chmod 640 *; ls | wc -l"
    code, out, err = machine.run("sh", "-ec", script, cwd="/tmp/owners")
    assert (code, out, err) == (0, b"1500\n", b"")
    assert ownership.read(str(folder / "1500")) == Recorded(5, 6, stat.S_IFREG | 0o640)
