"""Who may become whom: the kernel's rules for tracked ids."""

from __future__ import annotations

import pytest

from dockmagic.runtime.tracer.identity import KEEP, Credentials, Ids, may, set_fs, set_one, set_pair, set_three

ROOT = Ids(0, 0, 0, 0)
USER = Ids(5, 5, 5, 5)
SETUID = Ids(5, 0, 0, 0)


def test_root_becomes_anybody_for_good() -> None:
    assert set_one(ROOT, 7, True) == Ids(7, 7, 7, 7)


def test_a_user_stays_who_it_is() -> None:
    assert set_one(USER, 5, False) == USER
    with pytest.raises(PermissionError):
        set_one(USER, 0, False)
    with pytest.raises(PermissionError):
        set_three(USER, KEEP, 0, KEEP, False)
    with pytest.raises(PermissionError):
        set_pair(USER, 0, KEEP, False)


def test_a_saved_id_can_be_taken_up_again() -> None:
    dropped = set_three(SETUID, KEEP, 5, KEEP, True)
    assert dropped == Ids(5, 5, 0, 5)
    assert set_one(dropped, 0, False) == Ids(5, 0, 0, 0)


def test_setreuid_moves_the_saved_id_with_a_new_effective_one() -> None:
    assert set_pair(ROOT, KEEP, 7, True) == Ids(0, 7, 7, 7)
    assert set_pair(SETUID, 0, 5, True) == Ids(0, 5, 5, 5)
    assert set_pair(USER, KEEP, KEEP, False) == USER


def test_setfsuid_never_fails() -> None:
    assert set_fs(USER, 0, False) == USER
    assert set_fs(ROOT, 9, True).fs == 9


@pytest.mark.parametrize(
    ("who", "want", "allowed"),
    [
        (Credentials.of(0, 0), 7, True),
        (Credentials.of(10, 10), 6, True),
        (Credentials.of(10, 10), 1, False),
        (Credentials.of(11, 20), 4, True),
        (Credentials.of(11, 20), 2, False),
        (Credentials.of(11, 11, (20,)), 4, True),
        (Credentials.of(12, 12), 4, False),
    ],
)
def test_permission_bits(who: Credentials, want: int, allowed: bool) -> None:
    assert may(who, 10, 20, 0o640, want) is allowed
