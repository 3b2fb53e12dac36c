"""/dev: a small tmpfs with the devices every container gets, all bound from the engine's own nodes.

Bound, not made: so the same code serves the rootless tier, which can't make nodes, and the tmpfs can be ``nodev``:
what a container's root makes with mknod is there but can't be opened (Docker does that with a devices cgroup).
"""

from __future__ import annotations

import os
import stat

from dockmagic import inroot
from dockmagic.runtime import libc
from dockmagic.runtime.libc import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC, MS_STRICTATIME
from dockmagic.runtime.namespaces.mounts import own_folder
from dockmagic.runtime.spec import Device, Spec

NODES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
)
_TTY_GROUP = 5


def make_dev(root: str, spec: Spec) -> None:
    """Mount /dev with all that belongs in it under ``root`` (before pivot_root)."""
    dev = own_folder(root, "/dev")
    flags = MS_NOSUID | MS_STRICTATIME | (0 if spec.privileged else MS_NODEV)
    libc.mount("tmpfs", dev, "tmpfs", flags, "mode=755,size=65536k")
    for name in NODES:
        _show(f"/dev/{name}", f"{dev}/{name}")
    for name, target in LINKS:
        os.symlink(target, f"{dev}/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{dev}/{name}", 0o755)
    _mount_pts(f"{dev}/pts")
    if spec.ipc == "host":
        libc.mount("/dev/shm", f"{dev}/shm", None, MS_BIND | MS_REC)
    elif spec.ipc != "none":
        size = f"mode=1777,size={spec.limits.shm_size}"
        libc.mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, size)
    try:
        libc.mount("mqueue", f"{dev}/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:
        pass  # a kernel without message queues, or an outer user namespace's
    if spec.terminal:
        os.close(os.open(f"{dev}/console", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o620))
    if spec.privileged:
        _show_all(dev)
    for device in spec.devices:
        show_device(root, device)


def _mount_pts(target: str) -> None:
    flags = MS_NOSUID | MS_NOEXEC
    options = "newinstance,ptmxmode=0666,mode=0620"
    try:
        libc.mount("devpts", target, "devpts", flags, f"{options},gid={_TTY_GROUP}")
    except OSError:
        libc.mount("devpts", target, "devpts", flags, options)  # group tty is not mapped in this user namespace


def _show(source: str, target: str) -> None:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        libc.mount(source, target, None, MS_BIND)
    except FileNotFoundError:
        os.unlink(target)  # this machine has none


def _show_all(dev: str) -> None:
    """A privileged container sees every device of the machine, not its terminals."""
    for folder, folders, files in os.walk("/dev"):
        folders[:] = [name for name in folders if name not in ("pts", "shm", "mqueue", "fd")]
        inside = dev + folder[4:]
        os.makedirs(inside, exist_ok=True)
        for name in files:
            try:
                mode = os.lstat(f"{folder}/{name}").st_mode
                if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and not os.path.lexists(f"{inside}/{name}"):
                    _show(f"{folder}/{name}", f"{inside}/{name}")
            except OSError:
                continue  # a device that came or went


def show_device(root: str, device: Device) -> None:
    """One of ``docker run --device``; a folder shows all in it."""
    target = inroot.resolve(root, device.target)
    if os.path.isdir(device.source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.lexists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
    libc.mount(device.source, target, None, MS_BIND | MS_REC)
