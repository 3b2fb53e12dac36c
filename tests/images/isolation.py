"""Running a piece of a test in a child process: with mounts of its own, or as somebody without privileges."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockmagic.images.files import remove_tree

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000  # linux/sched.h
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000  # linux/mount.h
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def in_child(action: Callable[[], None], before: Callable[[], None] = lambda: None) -> None:
    """Run ``action`` in a forked child after ``before``; the test fails when it raises."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            before()
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed, see its traceback"


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user can use; pytest's own are closed, and closed again by the next pytest."""
    folder = Path(tempfile.mkdtemp(prefix="dockmagic-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        remove_tree(folder)


def own_mounts() -> None:
    """From now on this process's mounts are its own (root)."""
    _check(_libc().unshare(_CLONE_NEWNS))
    _check(_libc().mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))


def user_namespace() -> None:
    """From now on this process is root in a user namespace that maps one id, with mounts of its own."""
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def nobody() -> None:
    """From now on this process has no privileges."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def nobody_in_namespace() -> None:
    """A user without privileges who made a user namespace, as the rootless tier does."""
    nobody()
    _check(_libc().prctl(4, 1, 0, 0, 0))  # PR_SET_DUMPABLE: or /proc/self would be root's
    user_namespace()


def can_make_user_namespaces() -> bool:
    """Whether this kernel lets a process without privileges make one."""
    pid = os.fork()
    if pid == 0:
        try:
            nobody_in_namespace() if os.geteuid() == 0 else user_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
