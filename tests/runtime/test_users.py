"""Users by name, with the rules and words of docker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic.errors import InvalidParameter
from dockmagic.runtime.spec import User
from dockmagic.runtime.users import resolve_user


@pytest.fixture
def root(tmp_path: Path) -> str:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\n# a comment\n\nweb:x:33:34:web:/var/www:/bin/false\n"
        "1000:x:77:78::/seven:/bin/sh\nshort:x:5:6\n"
    )
    (etc / "group").write_text("root:x:0:\nweb:x:34:\naudio:x:29:web,other\nvideo:x:44:web\nstaff:x:50:root\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", User(0, 0, (50,), "/root")),
        ("root", User(0, 0, (50,), "/root")),
        ("0", User(0, 0, (50,), "/root")),
        ("web", User(33, 34, (29, 44), "/var/www")),
        ("33", User(33, 34, (29, 44), "/var/www")),
        ("web:audio", User(33, 29, (), "/var/www")),
        ("web:99", User(33, 99, (), "/var/www")),
        ("4242", User(4242, 0, (), "/")),
        ("4242:video", User(4242, 44, (), "/")),
        ("1000", User(77, 78, (), "/seven")),
        ("short", User(5, 6, (), "/")),
    ],
)
def test_who_is_meant(root: str, user: str, expected: User) -> None:
    assert resolve_user(root, user) == expected


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nope", "unable to find user nope: no matching entries in passwd file"),
        ("web:nope", "unable to find group nope: no matching entries in group file"),
        ("-1", "unable to find user -1: no matching entries in passwd file"),
        ("3000000000", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_who_is_not_known(root: str, user: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        resolve_user(root, user)


def test_groups_are_added(root: str) -> None:
    assert resolve_user(root, "web", ("staff", "29", "1234")).groups == (29, 44, 50, 1234)
    with pytest.raises(InvalidParameter, match="Unable to find group nope"):
        resolve_user(root, "web", ("nope",))


def test_without_any_files(tmp_path: Path) -> None:
    assert resolve_user(str(tmp_path), "") == User(0, 0, (), "/")
    assert resolve_user(str(tmp_path), "12:34") == User(12, 34, (), "/")


def test_links_stay_inside_the_root_and_a_fifo_does_not_block(root: str) -> None:
    passwd = Path(root, "etc", "passwd")
    passwd.rename(Path(root, "real"))
    passwd.symlink_to("/real")
    assert resolve_user(root, "web").uid == 33
    passwd.unlink()
    os.mkfifo(passwd)
    assert resolve_user(root, "7").uid == 7
