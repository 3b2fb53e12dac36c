"""The processes of RUN: what surrounds them, and that they leave no trace but their own."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockmagic import inroot
from dockmagic.builder.config import DEFAULT_PATH
from dockmagic.builder.model import RunStep
from dockmagic.builder.request import BuildError
from dockmagic.dockerfile.golang import quote
from dockmagic.images.protocols import Snapshot
from dockmagic.runtime.protocols import Process, Runtime, StartError
from dockmagic.runtime.spec import Limits, Mount, Spec
from dockmagic.runtime.users import resolve_user

HOSTNAME = "buildkitsandbox"
_POLL = 0.25
_SIGKILL = 9
_NEEDED = ("dev", "proc", "sys")
"""What every container mounts something on; in an image without them they stay, as with runc."""
_HOSTS = """\
127.0.0.1	localhost {name}
::1	localhost ip6-localhost ip6-loopback
fe00::0	ip6-localnet
ff00::0	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
"""


class Cancelled(BuildError):
    """The build was given up."""

    def __init__(self) -> None:
        super().__init__("context canceled")


@dataclass(frozen=True)
class Surroundings:
    """What is the same for every RUN of a build."""

    hostname: str = HOSTNAME
    hosts: tuple[tuple[str, str], ...] = ()
    """(name, address) lines for /etc/hosts"""
    network: str = "host"
    shm_size: int = 0
    memory: int = 0
    rlimits: tuple[tuple[str, int, int], ...] = ()


@dataclass
class Prepared:
    """What one RUN has besides its step: mounts on host paths, and variables from secrets."""

    mounts: list[Mount] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


class Sandbox:
    """Runs steps in the runtime's containers."""

    def __init__(self, runtime: Runtime, folder: Path, around: Surroundings, cancelled: threading.Event) -> None:
        self._runtime = runtime
        self._folder = folder
        self.around = around
        self._cancelled = cancelled

    def run(self, step: RunStep, snapshot: Snapshot, prepared: Prepared, log: Callable[[bytes, int], None]) -> None:
        """Run to the end. Raises BuildError with BuildKit's message and the exit code, Cancelled."""
        id = uuid.uuid4().hex
        folder = self._folder / f"run-{id[:12]}"
        folder.mkdir(mode=0o700)
        try:
            for name in _NEEDED:
                (snapshot.path / name).mkdir(exist_ok=True)
            spec = self._spec(id, step, snapshot, prepared, folder)
            stubs = Stubs(str(snapshot.path), [mount.target for mount in spec.mounts])
            process = self._runtime.prepare(spec, folder)
            try:
                code = self._watch(process, log)
            finally:
                process.close()
                stubs.remove()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if code:
            command = quote(" ".join(step.args))
            message = f"process {command} did not complete successfully: exit code: {code}"
            raise BuildError(message, exit_code=code)

    def _watch(self, process: Process, log: Callable[[bytes, int], None]) -> int:
        stream = process.attach()
        reader = threading.Thread(target=_read_frames, args=(stream, log), daemon=True)
        reader.start()
        try:
            process.start()
        except StartError as error:
            log(f"runc run failed: unable to start container process: {error}\n".encode(), 2)
            stream.close()
            return 1  # runc's own exit code, which is what BuildKit reports
        while (end := process.wait(_POLL)) is None:
            if self._cancelled.is_set():
                process.signal(_SIGKILL)
                process.wait(10)
                raise Cancelled
        reader.join(10)
        stream.close()
        return end.code

    def _spec(self, id: str, step: RunStep, snapshot: Snapshot, prepared: Prepared, folder: Path) -> Spec:
        around = self.around
        root = str(snapshot.path)
        user = resolve_user(root, step.user)
        environment = {
            "PATH": DEFAULT_PATH, "HOSTNAME": around.hostname, "HOME": user.home or "/",
            **step.proxies, **step.environment, **prepared.environment,
        }  # fmt: skip
        mounts = [*_etc_mounts(around, folder), *_script_mount(step, folder)]
        if around.shm_size:
            mounts.append(Mount("/dev/shm", kind="tmpfs", options=("nosuid", "exec", "dev", f"size={around.shm_size}")))
        every = (*mounts, *prepared.mounts)
        limits = Limits(memory=around.memory or None, rlimits=around.rlimits)
        return Spec(
            id=id,
            rootfs=root,
            args=tuple(step.args),
            env=tuple(f"{key}={value}" for key, value in environment.items()),
            cwd=step.workdir,
            user=user,
            hostname=around.hostname,
            mounts=every,
            # a /dev/shm of our own takes the place of the usual one
            ipc="none" if any(mount.target == "/dev/shm" for mount in every) else "private",
            copy_on_write=snapshot.copy_on_write,
            tethered=True,
            limits=limits,
            network="none" if step.network == "none" else "host" if step.network == "host" else around.network,
        )


def _etc_mounts(around: Surroundings, folder: Path) -> list[Mount]:
    """/etc/hosts and /etc/resolv.conf, over whatever the image has there."""
    hosts = folder / "hosts"
    lines = [_HOSTS.format(name=around.hostname), *[f"{address}\t{name}\n" for name, address in around.hosts]]
    hosts.write_text("".join(lines), encoding="utf-8")
    hosts.chmod(0o644)
    resolver = folder / "resolv.conf"
    try:
        resolver.write_bytes(Path("/etc/resolv.conf").read_bytes())
    except OSError:
        resolver.write_text("nameserver 8.8.8.8\nnameserver 8.8.4.4\n", encoding="utf-8")
    resolver.chmod(0o644)
    return [
        Mount("/etc/hosts", str(hosts), read_only=True),
        Mount("/etc/resolv.conf", str(resolver), read_only=True),
    ]


def _script_mount(step: RunStep, folder: Path) -> list[Mount]:
    if step.script is None:
        return []
    name, data = step.script
    pipes = folder / "pipes"
    pipes.mkdir()
    script = pipes / name
    script.write_bytes(data)
    script.chmod(0o755)
    pipes.chmod(0o755)
    return [Mount("/dev/pipes", str(pipes), read_only=True)]


def _read_frames(stream: socket.socket, log: Callable[[bytes, int], None]) -> None:
    """docker's frames until the stream ends: [stream, 0, 0, 0, length], then the data."""
    with stream.makefile("rb") as reader:
        while len(head := reader.read(8)) == 8:
            kind, length = struct.unpack(">BxxxI", head)
            data = reader.read(length)
            if data:
                log(data, kind)
            if len(data) < length:
                return


class Stubs:
    """The empty files and folders that mounting needs, taken away afterwards unless the process filled them."""

    def __init__(self, root: str, targets: Sequence[str]) -> None:
        self._root = root
        self._missing: list[str] = []
        self._parents: Mapping[str, int] = {}
        parents: dict[str, int] = {}
        for target in targets:
            if target.startswith("/dev/"):  # under a tmpfs of the container's own
                continue
            path = inroot.resolve(root, target)
            while path != root and not os.path.lexists(path):
                if path not in self._missing:
                    self._missing.append(path)
                path = os.path.dirname(path)
            if self._missing and os.path.isdir(path):
                parents.setdefault(path, os.lstat(path).st_mtime_ns)
        self._parents = parents

    def remove(self) -> None:
        """Remove what is still empty, deepest first, and give the folders around their times back."""
        removed: set[str] = set()
        for path in sorted(self._missing, key=len, reverse=True):
            try:
                found = os.lstat(path)
                if stat.S_ISDIR(found.st_mode):
                    os.rmdir(path)
                elif stat.S_ISREG(found.st_mode) and not found.st_size:
                    os.unlink(path)
                else:
                    continue
            except OSError:  # not there, or not empty: the process's own
                continue
            removed.add(os.path.dirname(path))
        for parent in removed & set(self._parents):
            if not os.path.islink(parent):
                os.utime(parent, ns=(self._parents[parent], self._parents[parent]))
