"""Mounting an overlay in the caller's own mount namespace.

Layers, upper and work folder are named relative to the folder of the layers, so that hundreds of them fit into the one
page of mount options and no path needs quoting. That wants a current directory; the mount is made in a thread of its
own, whose current directory is its own too (unshare(CLONE_FS) takes it from the rest of the process).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

_MS_RDONLY = 1  # linux/mount.h
_MNT_DETACH = 2
_CLONE_FS = 0x200  # linux/sched.h
_PARAMETERS = Path("/sys/module/overlay/parameters")
_OFF = ("redirect_dir", "metacopy", "index")
"""Features that would put into the upper folder what is no part of a layer; some kernels turn them on."""
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
    options = [f"lowerdir={':'.join(reversed(lower))}"]
    if upper is not None:
        relative = os.path.relpath(upper.parent, layers)
        options += [f"upperdir={relative}/{upper.name}", f"workdir={relative}/work"]
        if volatile:
            options.append("volatile")
    if userxattr:
        options.append("userxattr")
    options += [f"{name}=off" for name in _OFF if (_PARAMETERS / name).exists()]
    data = ",".join(options).encode()
    if len(data) > _MAX_OPTIONS:
        raise OSError(7, "too many layers for one mount")
    flags = 0 if upper is not None else _MS_RDONLY
    _in_folder(layers, lambda: _mount(b"overlay", os.fsencode(target), b"overlay", flags, data))


def unmount(target: Path) -> None:
    """Take a mount away, at the latest when its last user goes; nothing where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    while os.path.ismount(target):
        if libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fspath(target))


def forget_volatile(work: Path) -> None:
    """Allow an upper folder whose mount was volatile to be mounted again (the kernel refuses it otherwise)."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.rmdir(work / "work" / "incompat" / "volatile")


def _mount(source: bytes, target: bytes, kind: bytes, flags: int, data: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(target))


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
