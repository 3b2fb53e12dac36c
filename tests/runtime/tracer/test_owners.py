"""Identity that lasts: owners, modes and devices seem to change, and are remembered beside the tree."""

from __future__ import annotations

import os
import stat
import struct

import pytest

from dockmagic import ownership
from dockmagic.ownership import Recorded
from dockmagic.runtime.spec import Mount, User
from dockmagic.runtime.tracer.handlers.xattr import mode_of_acl
from tests.runtime.tracer.conftest import Box


def test_everything_is_roots_without_a_record(box: Box) -> None:
    assert box.lines("stat -c '%u:%g' / /etc/passwd /bin/busybox; id -u; id -g") == ["0:0", "0:0", "0:0", "0", "0"]


def test_owners_and_special_bits_are_remembered(box: Box) -> None:
    box.lines("touch /f; chown 12:13 /f; chmod 4751 /f; mkdir /d; chown :14 /d; chmod 2770 /d; chmod 400 /f2 || true")
    assert box.lines("stat -c '%u:%g %a' /f /d") == ["12:13 4751", "0:14 2770"]  # by another tracer
    assert ownership.read(str(box.rootfs / "f")) == Recorded(12, 13, 0o104751)
    assert ownership.read(str(box.rootfs / "d")) == Recorded(0, 14, 0o42770)
    real = (box.rootfs / "f").stat()
    assert (real.st_uid, stat.S_IMODE(real.st_mode)) == (os.geteuid(), 0o751)


def test_chown_clears_set_id_bits(box: Box) -> None:
    assert box.lines("touch /f; chmod 6755 /f; chown 5 /f; stat -c %a /f") == ["755"]


def test_a_record_goes_with_the_file(box: Box) -> None:
    script = "touch /f; chown 5:6 /f; mv /f /g; ln /g /h; stat -c %u:%g /g /h; cp -p /g /i; stat -c %u:%g /i"
    assert box.lines(script) == ["5:6"] * 3


def test_plain_root_leaves_no_records(box: Box) -> None:
    box.lines("touch /f; chown 0:0 /f; chmod 644 /f; mkdir -m 755 /d")
    assert ownership.read(str(box.rootfs / "f")) is None
    assert ownership.read(str(box.rootfs / "d")) is None


def test_files_without_permissions_stay_usable(box: Box) -> None:
    script = (
        "echo x > /f; chmod 0 /f; cat /f; echo y >> /f; chown 5 /f; stat -c '%a %u' /f; "
        "mkdir -m 0 /d; echo z > /d/f; stat -c %a /d"
    )
    assert box.lines(script) == ["x", "0 5", "0"]


def test_an_images_odd_modes_do_not_stop_its_root(box: Box) -> None:
    (box.rootfs / "secret").write_text("told\n")
    (box.rootfs / "secret").chmod(0)
    (box.rootfs / "closed").mkdir(0o555)
    assert box.lines("cat /secret; stat -c %a /secret; touch /closed/f; stat -c %a /closed") == ["told", "0", "555"]


def test_devices(box: Box) -> None:
    script = "mknod /null c 1 3; mknod -m 660 /disk b 8 1; stat -c '%F %t:%T %a' /null /disk; mkfifo /p; stat -c %F /p"
    assert box.lines(script) == ["character special file 1:3 644", "block special file 8:1 660", "fifo"]
    assert ownership.read(str(box.rootfs / "disk")) == Recorded(0, 0, 0o60660, 8, 1)
    assert (box.rootfs / "disk").stat().st_size == 0


def test_what_a_user_makes_is_its_own(box: Box) -> None:
    (box.rootfs / "work").mkdir(mode=0o777)
    (box.rootfs / "work").chmod(0o777)
    script = "umask 027; echo x > f; mkdir d; stat -c '%u:%g %a' f d; id"
    assert box.lines(script, cwd="/work", user=User(12, 13, (14,))) == [
        "12:13 640", "12:13 750", "uid=12 gid=13 groups=14",
    ]  # fmt: skip
    assert ownership.read(str(box.rootfs / "work/f")) == Recorded(12, 13, 0o100640)


def test_a_folders_group_is_inherited(box: Box) -> None:
    script = "mkdir /g; chgrp 50 /g; chmod 2775 /g; touch /g/f; mkdir /g/d; stat -c '%g %a' /g/f /g/d"
    assert box.lines(script) == ["50 644", "50 2755"]


def test_permissions_hold_for_users(box: Box) -> None:
    box.lines(
        "echo x > /secret; chmod 600 /secret; echo y > /mine; chown 12 /mine; chmod 600 /mine; "
        "mkdir -m 1777 /t; touch /t/roots"
    )
    attempts = ("cat /secret", "echo z > /secret", "chown 12 /secret", "chmod 777 /secret", "rm /secret", "touch /new",
                "rm -f /t/roots", "test -r /secret", "mknod /t/n c 1 3", "chown 0 /mine")  # fmt: skip
    script = "; ".join(f"({attempt}) 2>/dev/null && echo '{attempt}'" for attempt in attempts)
    assert box.lines(f"{script}; cat /mine; echo w > /t/own; rm /t/own", user=User(12, 12)) == ["y"]


def test_a_user_gives_its_links_to_itself_and_nothing_grows_in_files(box: Box) -> None:
    box.lines("mkdir -m 1777 /t")
    script = "cd /t; ln -s a l; chown -h 12:12 l && echo given; touch f; mkdir f/x 2>&1 | grep -o 'Not a directory'"
    assert box.lines(script, user=User(12, 12)) == ["given", "Not a directory"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the program below is x86_64's")
def test_a_set_id_program_runs_as_its_owner(box: Box) -> None:
    """The program exits with its effective uid. (busybox gives it up by itself.)"""
    code = bytes.fromhex("b86b0000000f0589c7b83c0000000f05")  # exit(geteuid())
    start = 0x400000
    header = (
        b"\x7fELF\2\1\1" + bytes(9) + struct.pack("=HHIQQQIHHHHHH", 2, 62, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    segment = struct.pack("=IIQQQQQQ", 1, 5, 0, start, start, 120 + len(code), 120 + len(code), 4096)
    (box.rootfs / "who").write_bytes(header + segment + code)
    box.lines("chown 7 /who; chmod 4755 /who")
    assert box.run("/who", user=User(12, 12)).code == 7
    box.lines("chmod 755 /who")
    assert box.run("/who", user=User(12, 12)).code == 12


def test_su_becomes_another(box: Box) -> None:
    (box.rootfs / "etc/passwd").open("a").write("worker:x:70:71::/:/bin/sh\n")
    assert box.lines("su worker -c 'id -u; id -g; touch /tmp/f; stat -c %u:%g /tmp/f'") == ["70", "71", "70:71"]


def test_a_user_cannot_become_root(box: Box) -> None:
    assert box.sh("setuidgid root id", user=User(12, 12)).code != 0


PYTHON = "/usr/bin/python3"


@pytest.fixture
def python(box: Box) -> Box:
    """The box with the host's Python and its libraries mounted, as volumes would be."""
    if not os.path.exists(PYTHON):
        pytest.skip("no python3 of the system's to run in a container")
    return box


def test_attributes_of_the_system_are_kept_and_ours_hidden(python: Box) -> None:
    """setcap's attribute and others that need root, from a program that sets them in the container."""
    script = (
        "import os; open('/f','w'); os.chown('/f', 5, 5); os.setxattr('/f', 'security.capability', b'cap');"
        "os.setxattr('/f', 'user.mine', b'1');"
        "print(sorted(os.listxattr('/f')), os.getxattr('/f', 'security.capability'));"
        "os.removexattr('/f', 'security.capability'); print(os.listxattr('/f'))"
    )
    mounts = tuple(Mount(path, path, read_only=True) for path in ("/usr", "/lib", "/lib64") if os.path.isdir(path))
    result = python.run(PYTHON, "-I", "-S", "-c", script, mounts=mounts)
    assert result.out.splitlines() == ["['security.capability', 'user.mine'] b'cap'", "['user.mine']"], result.err
    assert set(os.listxattr(python.rootfs / "f")) == {ownership.ATTRIBUTE, "user.mine"}


def _acl(*entries: tuple[int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, bits, 0xFFFFFFFF) for tag, bits in entries)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (_acl((1, 6), (4, 4), (32, 0)), (0o640, False)),
        (_acl((1, 7), (2, 4), (4, 7), (16, 5), (32, 1)), (0o751, True)),
        (_acl((1, 6)), (None, True)),
        (b"", (None, True)),
        (b"\1\0\0\0", (None, True)),
    ],
)
def test_an_access_list_says_a_mode(value: bytes, expected: tuple[int | None, bool]) -> None:
    assert mode_of_acl(value) == expected
