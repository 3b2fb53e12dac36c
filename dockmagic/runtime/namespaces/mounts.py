"""The container's file tree: its root, /proc, /sys, what is mounted into it, what is hidden from it."""

from __future__ import annotations

import errno
import os
import stat

from dockmagic import inroot
from dockmagic.runtime import libc
from dockmagic.runtime.libc import (
    MS_BIND,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    MS_SHARED,
    MS_SLAVE,
)  # fmt: skip
from dockmagic.runtime.spec import Mount, Spec

_PROPAGATIONS = {
    "private": MS_PRIVATE, "rprivate": MS_PRIVATE | MS_REC,
    "slave": MS_SLAVE, "rslave": MS_SLAVE | MS_REC,
    "shared": MS_SHARED, "rshared": MS_SHARED | MS_REC,
}  # fmt: skip
_STATVFS = ((1, MS_RDONLY), (2, MS_NOSUID), (4, MS_NODEV), (8, MS_NOEXEC), (1024, MS_NOATIME), (2048, MS_NODIRATIME),
            (4096, MS_RELATIME))  # fmt: skip
"""f_flag of statvfs (linux/statfs.h) and the mount flag it stands for"""


def remount(path: str, flags: int) -> None:
    """Add ``flags`` to a mount. Those it has are kept: in a user namespace they may not be taken away."""
    has = os.statvfs(path).f_flag
    for bit, flag in _STATVFS:
        if has & bit:
            flags |= flag
    libc.mount(None, path, None, MS_REMOUNT | MS_BIND | flags)


def enter_own_mounts() -> None:
    """After unshare(CLONE_NEWNS): nothing mounted from here on is seen outside; what the host mounts still comes in."""
    libc.mount(None, "/", None, MS_SLAVE | MS_REC)


def make_root(root: str, *, nodev: bool) -> None:
    """Make the root folder a mount of its own, which pivot_root needs."""
    libc.mount(root, root, None, MS_BIND | MS_REC)
    libc.mount(None, root, None, MS_PRIVATE | MS_REC)
    if nodev:
        remount(root, MS_NODEV)


def mount_proc(root: str) -> None:
    """A new /proc; where the kernel refuses one (a masked /proc outside, a shared pid namespace), the outer one."""
    target = own_folder(root, "/proc")
    try:
        libc.mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EBUSY):
            raise
        libc.mount("/proc", target, None, MS_BIND | MS_REC)


def mount_sys(root: str, *, writable: bool) -> None:
    """/sys, read-only; where this user namespace does not own the network namespace, the outer one."""
    target = own_folder(root, "/sys")
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (0 if writable else MS_RDONLY)
    try:
        libc.mount("sysfs", target, "sysfs", flags)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        libc.mount("/sys", target, None, MS_BIND | MS_REC)
        if not writable:
            try:
                libc.make_read_only_tree(target)
            except OSError:
                remount(target, MS_RDONLY)


def own_folder(root: str, path: str) -> str:
    """A folder of the image, made where it is missing; never a link's target outside."""
    target = os.path.join(root, path.lstrip("/"))
    try:
        os.mkdir(target, 0o755)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(target).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a directory", path) from None
    return target


def add_mount(root: str, mount: Mount) -> None:
    """One bind or tmpfs mount of the Spec, at its target inside ``root``, which is made when it is missing."""
    is_file = mount.kind == "bind" and not stat.S_ISDIR(os.stat(mount.source).st_mode)
    target = make_target(root, mount.target, is_file=is_file)
    # A link changed under our feet must not lead outside: mount on the very thing that was checked
    fd = os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        place = f"/proc/self/fd/{fd}"
        real = os.readlink(place)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise PermissionError(errno.EPERM, "a mount's target leaves the container's root", mount.target)
        if mount.kind == "tmpfs":
            _mount_tmpfs(place, mount)
        else:
            libc.mount(mount.source, place, None, MS_BIND | MS_REC)
    finally:
        os.close(fd)
    if mount.kind == "bind":
        _restrict_bind(target, mount)


def make_target(root: str, path: str, *, is_file: bool) -> str:
    """The host's path of ``path`` in ``root``, made as a folder or an empty file where it is missing."""
    target = inroot.resolve(root, path)
    if not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if is_file:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o755))
        else:
            os.mkdir(target, 0o755)
    return target


def _mount_tmpfs(place: str, mount: Mount) -> None:
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    data = []
    for option in mount.options:
        if option == "exec":
            flags &= ~MS_NOEXEC
        elif option == "suid":
            flags &= ~MS_NOSUID
        elif option == "dev":
            flags &= ~MS_NODEV
        elif option == "ro":
            flags |= MS_RDONLY
        elif "=" in option:
            data.append(option)
    if mount.read_only:
        flags |= MS_RDONLY
    libc.mount("tmpfs", place, "tmpfs", flags, ",".join(data) or None)


def _restrict_bind(target: str, mount: Mount) -> None:
    # Devices a container makes in a volume can't be opened; those of the host's own /dev, shown on purpose, can
    flags = 0 if mount.source == "/dev" or mount.source.startswith("/dev/") else MS_NODEV
    if mount.read_only:
        flags |= MS_RDONLY
    if flags:
        remount(target, flags)
    for option in mount.options:
        if option in _PROPAGATIONS:
            libc.mount(None, target, None, _PROPAGATIONS[option])
            return
    libc.mount(None, target, None, MS_PRIVATE | MS_REC)


def enter_root(root: str) -> None:
    """Make ``root`` the root folder and let go of everything outside."""
    os.chdir(root)
    libc.pivot_root(".", ".")  # the old root is now mounted over the new one; see pivot_root(2)
    libc.mount(None, ".", None, MS_SLAVE | MS_REC)  # unmounting must not reach the host
    libc.umount(".", libc.MNT_DETACH)
    os.chdir("/")


def hide(spec: Spec) -> None:
    """Masked and read-only paths; after enter_root."""
    for path in spec.masked_paths:
        try:
            libc.mount("/dev/null", path, None, MS_BIND)
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                libc.mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k")
            elif error.errno not in (errno.ENOENT, errno.EACCES):
                raise
    for path in spec.readonly_paths:
        try:
            libc.mount(path, path, None, MS_BIND | MS_REC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                continue
            raise
        remount(path, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def make_working_directory(path: str) -> None:
    """The Spec's ``cwd``, made with its parents when it is missing, as runc does."""
    os.makedirs(path, 0o755, exist_ok=True)
