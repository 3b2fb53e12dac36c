"""Mounting an overlay in the caller's own mount namespace.

Where there are many layers, they and the upper and work folders are named relative to the folder of the layers, so that
hundreds fit into the one page of mount options. That wants a current directory; the mount is made in a thread of its
own, whose current directory is its own too (unshare(CLONE_FS) takes it from the rest of the process).
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from dockmagic.images.files import remove_tree

_MS_RDONLY = 1  # linux/mount.h
_MNT_DETACH = 2
_CLONE_FS = 0x200  # linux/sched.h
_PARAMETERS = Path("/sys/module/overlay/parameters")
_OFF = ("index", "redirect_dir", "metacopy")
"""Features that would put into the upper folder what is no part of a layer; some kernels turn them on. With userxattr
the kernel itself turns off the last two, and does not even take the word."""
_MAX_OPTIONS = 4095


def mount(
    layers: Path,
    lower: Sequence[str],
    target: Path,
    *,
    userxattr: bool,
    upper: Path | None = None,
    volatile: bool = False,
) -> None:
    """Mount the folders ``lower`` (from the base up, named in ``layers``) at ``target``; read only without ``upper``.

    ``upper`` has its work folder beside it. ``volatile``: no sync to the disk, for what a crash may take.
    Raises OSError.
    """
    features = ["userxattr"] if userxattr else []
    features += [f"{name}=off" for name in (_OFF[:1] if userxattr else _OFF) if (_PARAMETERS / name).exists()]
    flags = 0 if upper is not None else _MS_RDONLY

    def attempt(prefix: str) -> None:
        places = [f"lowerdir={':'.join(prefix + name for name in reversed(lower))}"]
        if upper is not None:
            home = prefix + os.path.relpath(upper.parent, layers)
            places += [f"upperdir={home}/{upper.name}", f"workdir={home}/work"]
        data = ",".join(places + features)
        if len(data) > _MAX_OPTIONS - len(",volatile"):
            raise OSError(errno.E2BIG, "too many layers for one mount")
        if volatile and upper is not None:
            try:
                _mount(where, flags, data + ",volatile")
                return
            except OSError as error:
                if error.errno != errno.EINVAL:  # a kernel before 5.10
                    raise
        _mount(where, flags, data)

    where = os.path.abspath(target)
    whole = os.path.abspath(layers) + "/"
    if len(lower) * (len(whole) + 8) < _MAX_OPTIONS // 2 and not any(char in whole for char in ",:\\\"' "):
        attempt(whole)  # saves the thread, which is half of the time
    else:
        _in_folder(layers, lambda: attempt(""))


def unmount(target: Path) -> None:
    """Take a mount away, at the latest when its last user goes; nothing where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    while os.path.ismount(target):
        if libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fspath(target))


def forget_volatile(work: Path) -> None:
    """Allow an upper folder whose mount was volatile to be mounted again (the kernel refuses it otherwise)."""
    remove_tree(work / "work" / "incompat" / "volatile")


def _mount(target: str, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"overlay", os.fsencode(target), b"overlay", ctypes.c_ulong(flags), os.fsencode(options)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _in_folder(folder: Path, action: Callable[[], None]) -> None:
    """Run ``action`` in a thread whose current directory is ``folder``; raise what it raises."""
    failures: list[OSError] = []

    def run() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_FS) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), "unshare")
            os.chdir(folder)
            action()
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
