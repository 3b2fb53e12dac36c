"""A container's record made into the runtime's Spec: nothing decided here runs, everything here is policy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dockmagic.engine.services.containers import capabilities, files
from dockmagic.engine.services.containers.config import command
from dockmagic.engine.services.containers.hostconfig import log_limits
from dockmagic.engine.services.containers.record import Container, MountPoint
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.networks.links import Links
from dockmagic.errors import Conflict, DockmagicError, InvalidParameter
from dockmagic.inroot import resolve
from dockmagic.runtime.spec import Device, Limits, Mount, Spec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SpecMaker:
    """Makes Specs. ``containers`` finds those whose namespaces another one joins."""

    def __init__(self, containers: ContainerRegistry, links: Links) -> None:
        self._containers = containers
        self._links = links

    def make(self, container: Container, network: str) -> Spec:
        """What to run for ``container``, whose root is mounted. Raises InvalidParameter, Conflict, NotFound."""
        from dockmagic.runtime.users import resolve_user

        record = container.record
        config, host = record.config, record.host_config
        rootfs = str(container.rootfs)
        user = resolve_user(rootfs, config["User"], tuple(host["GroupAdd"] or ()))
        size, count = log_limits(host["LogConfig"])
        rows, columns = (host["ConsoleSize"] or [0, 0])[:2]
        options = set(host["SecurityOpt"] or ())
        return Spec(
            id=record.id,
            rootfs=rootfs,
            args=tuple(command(config)),
            env=environment(config, user.home, self._links.environment(container), terminal=config["Tty"]),
            cwd=config["WorkingDir"] or "/",
            user=user,
            terminal=config["Tty"],
            console_size=(rows, columns),
            stdin=config["OpenStdin"],
            stdin_once=config["StdinOnce"],
            hostname="" if host["UTSMode"] == "host" else config["Hostname"],
            domainname=config["Domainname"],
            mounts=tuple(self._mounts(container)),
            devices=tuple(_devices(host)),
            read_only=host["ReadonlyRootfs"],
            copy_on_write=container.copy_on_write,
            init=bool(host["Init"]),
            capabilities=capabilities.effective(host["CapAdd"], host["CapDrop"], privileged=host["Privileged"]),
            privileged=host["Privileged"],
            no_new_privileges=any(
                o.replace("=", ":") in {"no-new-privileges", "no-new-privileges:true"} for o in options
            ),
            seccomp="unconfined" if host["Privileged"] or _unconfined(options) else "default",
            masked_paths=tuple(host["MaskedPaths"] or ()),
            readonly_paths=tuple(host["ReadonlyPaths"] or ()),
            sysctls=tuple(sorted((host["Sysctls"] or {}).items())),
            limits=_limits(host),
            network=network,
            ipc=self._joined(host["IpcMode"], "ipc", {"shareable": "private"}),
            pid_mode=self._joined(host["PidMode"] or "private", "pid", {}),
            log_path="" if host["LogConfig"]["Type"] == "none" else str(container.log_path),
            log_max_size=size,
            log_max_files=count,
            oom_score_adj=host["OomScoreAdj"],
            labels=tuple(sorted(container.labels.items())),
        )

    def _joined(self, mode: str, namespace: str, same: Mapping[str, str]) -> str:
        if not mode.startswith("container:"):
            return same.get(mode, mode)
        other = self._containers.get(mode.partition(":")[2])
        if not other.record.pid:
            raise Conflict(
                f"cannot join {namespace.upper()} namespace of a non running container: container {other.name}"
            )
        if namespace == "ipc" and other.record.host_config["IpcMode"] != "shareable":
            raise InvalidParameter(
                f"can't join IPC of container {other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor "
                "container)"
            )
        return f"ns:/proc/{other.record.pid}/ns/{namespace}"

    def _mounts(self, container: Container) -> list[Mount]:
        over = {point.destination for point in container.record.mounts}
        roots = container.image_roots
        mounts = [
            _mount(point, roots.get(point.destination))
            for point in sorted(container.record.mounts, key=lambda p: p.destination.count("/"))
        ]
        mounts += [
            Mount(
                f"/etc/{name}", str(container.folder / name), read_only=container.record.host_config["ReadonlyRootfs"]
            )
            for name in files.NAMES
            if f"/etc/{name}" not in over
        ]
        return mounts


def environment(config: Mapping[str, Any], home: str, links: Sequence[str] = (), *, terminal: bool) -> tuple[str, ...]:
    """PATH, HOSTNAME, TERM, the ``links``', the Config's own, HOME: what a container's first process finds."""
    values: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": config["Hostname"]}
    if terminal:
        values["TERM"] = "xterm"
    for item in (*links, *(config["Env"] or ())):
        name, equals, value = item.partition("=")
        if equals:
            values[name] = value
        else:
            values.pop(name, None)  # a name alone removes it (moby, ReplaceOrAppendEnvVars)
    values.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in values.items())


def _mount(point: MountPoint, image: Path | None) -> Mount:
    if point.type == "tmpfs" or (point.options and point.options[0] == "tmpfs"):
        options = tuple(o for o in point.options if o not in {"tmpfs", "rw", "ro"})
        return Mount(point.destination, kind="tmpfs", read_only=not point.rw, options=options)
    source = point.source if image is None else str(image)
    if point.subpath:
        source = resolve(source, point.subpath)
        if not os.path.lexists(source):
            raise InvalidParameter(f"cannot access path {point.source}/{point.subpath}: no such file or directory")
    elif not os.path.exists(source):
        raise InvalidParameter(f'invalid mount config for type "bind": bind source path does not exist: {source}')
    return Mount(point.destination, source, read_only=not point.rw, options=tuple(point.options))


def _devices(host: Mapping[str, Any]) -> list[Device]:
    devices = []
    for device in host["Devices"] or ():
        source = device.get("PathOnHost") or ""
        target = device.get("PathInContainer") or source
        if not os.path.exists(source):
            raise DockmagicError(
                f'error gathering device information while adding custom device "{source}": no such file or directory'
            )
        found = [source]
        if os.path.isdir(source):
            found = sorted(os.path.join(where, name) for where, _, names in os.walk(source) for name in names)
        for path in found:
            devices.append(Device(path, target + path[len(source) :], device.get("CgroupPermissions") or "rwm"))
    return devices


def _limits(host: Mapping[str, Any]) -> Limits:
    cpus = host["NanoCpus"] / 1e9 if host["NanoCpus"] else None
    if cpus is None and host["CpuQuota"] > 0:
        cpus = host["CpuQuota"] / (host["CpuPeriod"] or 100_000)
    pids = host["PidsLimit"]
    return Limits(
        memory=host["Memory"] or None,
        memory_swap=host["MemorySwap"] if host["MemorySwap"] else None,
        cpus=cpus,
        cpu_shares=host["CpuShares"] or None,
        cpuset=host["CpusetCpus"],
        pids=pids if pids and pids > 0 else None,
        shm_size=host["ShmSize"],
        rlimits=tuple((u["Name"], int(u["Soft"]), int(u["Hard"])) for u in host["Ulimits"] or ()),
    )


def _unconfined(options: set[str]) -> bool:
    return any(option.replace("=", ":") == "seccomp:unconfined" for option in options)


def shim_folder(container: Container) -> Path:
    """Where the container's shim keeps its files."""
    return container.folder / "shim"
