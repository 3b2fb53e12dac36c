"""What is mounted where in one container: /proc, /dev, /sys, the Spec's mounts, what is masked; made of folders.

Nothing is mounted really. A tmpfs is a folder of the container's state, deleted with it.
"""

from __future__ import annotations

import os
import stat

from dockmagic import inroot
from dockmagic.ownership import Recorded
from dockmagic.ownership import write as write_record
from dockmagic.runtime.namespaces.devices import LINKS, NODES
from dockmagic.runtime.spec import Mount, Spec
from dockmagic.runtime.tracer.namespace import Mounted, Namespace

_DEV = "dev"


def _devices() -> list[str]:
    return [name for name in (*NODES, "ptmx") if os.path.exists(f"/dev/{name}")]


def make_devices(state: str) -> None:
    """The folder that every container's /dev shows, below ``state``: what of it needs no Spec. Raises OSError."""
    dev = os.path.join(state, _DEV)
    os.mkdir(dev, 0o755)
    for name, target in LINKS:
        if name != "ptmx":
            os.symlink(target, f"{dev}/{name}")
    for name in _devices():
        os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{dev}/{name}")


class Layout:
    """Makes the namespace of ``spec``, with its folders below ``state``, where :func:`make_devices` has been."""

    def __init__(self, spec: Spec, state: str) -> None:
        self._spec = spec
        self._state = state
        self._rootfs = os.path.realpath(spec.rootfs)
        self._mounts: dict[bytes, Mounted] = {}

    def build(self, console: str = "") -> Namespace:
        """``console`` is the host's path of the container's terminal, if it has one. Raises OSError."""
        self._add("/proc", "/proc", kind="proc")
        self._add("/sys", "/sys", read_only=not self._spec.privileged, kind="sysfs")
        self._show_interfaces()
        self._make_dev(console)
        for number, mount in enumerate(self._spec.mounts):
            self._show(number, mount)
        if not self._spec.privileged:
            self._hide()
        return Namespace(os.fsencode(self._rootfs), self._mounts.values(), read_only=self._spec.read_only)

    def _add(self, target: str, source: str, *, read_only: bool = False, private: bool = False, kind: str) -> None:
        host = inroot.resolve(self._rootfs, target)
        guest = os.fsencode(host[len(self._rootfs) :].rstrip("/"))
        self._make_point(host, guest, os.path.isdir(source))
        self._put(guest, source, read_only=read_only, private=private, kind=kind)

    def _put(self, guest: bytes, source: str, *, read_only: bool = False, private: bool = False, kind: str) -> None:
        self._mounts.pop(guest, None)
        self._mounts[guest] = Mounted(guest, os.fsencode(source), read_only, private, kind)

    def _make_point(self, host: str, guest: bytes, folder: bool) -> None:
        """Something to mount on, so that listings show it; as in Docker it stays in the root file system."""
        above = guest
        while above := above[: above.rfind(b"/")]:
            if above in self._mounts:
                host = os.fsdecode(self._mounts[above].source + guest[len(above) :])
                break
        if os.path.lexists(host):
            return
        try:
            os.makedirs(host if folder else os.path.dirname(host), exist_ok=True)
            if not folder:
                os.close(os.open(host, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except OSError:
            pass  # a root we may not write to: the mount is there, only not in listings

    def _folder(self, name: str, mode: int = 0o755) -> str:
        path = os.path.join(self._state, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        return path

    def _show_interfaces(self) -> None:
        """/sys/class/net without the host's, where the container has its own address or none."""
        names = {"none": ("lo",), "loopback": ("lo", "eth0")}.get(self._spec.network.partition(":")[0], ())
        for name in names:
            self._folder(f"net/{name}")
        if names:
            self._put(b"/sys/class/net", self._folder("net"), read_only=True, kind="sysfs")

    def _make_dev(self, console: str) -> None:
        dev = self._folder(_DEV)
        self._put(b"/dev", dev, private=True, kind="devtmpfs")
        self._make_point(f"{self._rootfs}/dev", b"/dev", True)
        for name in _devices():
            self._put(b"/dev/" + name.encode(), f"/dev/{name}", kind="device")
        if os.path.isdir("/dev/pts"):
            self._put(b"/dev/pts", "/dev/pts", kind="devpts")
        if console:
            self._device(console, "/dev/console")
        shm = "/dev/shm" if self._spec.ipc == "host" else self._folder("shm", 0o1777)
        if self._spec.ipc != "none":
            self._put(b"/dev/shm", shm, private=shm != "/dev/shm", kind="tmpfs")
        for device in self._spec.devices:
            self._device(device.source, device.target)

    def _device(self, source: str, target: str) -> None:
        if os.path.exists(source):
            self._add(target, source, kind="device")

    def _show(self, number: int, mount: Mount) -> None:
        if mount.kind == "bind":
            self._add(mount.target, os.path.realpath(mount.source), read_only=mount.read_only, kind="bind")
            return
        options = dict(option.partition("=")[::2] for option in mount.options)
        mode = int(options.get("mode", "1777"), 8)
        source = self._folder(f"tmpfs-{number}", mode & 0o1777 | 0o700)
        uid, gid = int(options.get("uid", "0")), int(options.get("gid", "0"))
        if uid or gid or mode & 0o700 != 0o700:
            write_record(source, Recorded(uid, gid, stat.S_IFDIR | mode))
        self._add(mount.target, source, read_only=mount.read_only, private=True, kind="tmpfs")

    def _hide(self) -> None:
        """Masked paths become empty, read-only ones are shown again read-only."""
        for path in self._spec.masked_paths:
            if os.path.isdir(path):
                self._put(os.fsencode(path), self._folder("empty"), read_only=True, kind="tmpfs")
            elif os.path.exists(path):
                self._put(os.fsencode(path), os.devnull, kind="device")
        for path in self._spec.readonly_paths:
            if os.path.exists(path):
                kind = "proc" if path.startswith("/proc") else "bind"
                self._put(os.fsencode(path), path, read_only=True, kind=kind)


def staging_folder(rootfs: str, state: str) -> str:
    """A folder for copies on the file system of ``rootfs`` but outside of it where that can be."""
    device = os.stat(rootfs).st_dev
    beside = os.path.join(os.path.dirname(os.path.realpath(rootfs)), f".copyup-{os.path.basename(state)}")
    for folder, home in ((os.path.join(state, "staging"), state), (beside, os.path.dirname(beside))):
        if os.stat(home).st_dev == device and os.access(home, os.W_OK):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            return folder
    return rootfs
