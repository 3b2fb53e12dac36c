"""What a create request says of binds, volumes and tmpfs, made into mount points."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from dockmagic.engine.services.containers.record import MountPoint
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.volumes import Volumes
from dockmagic.errors import InvalidParameter, NotFound

_PROPAGATIONS = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}
_MODES = {"rw", "ro", "z", "Z", "nocopy", "cached", "delegated", "consistent", "default"} | _PROPAGATIONS


class MountResolver:
    """Mount points from Binds, Mounts, VolumesFrom, Tmpfs and the Config's Volumes; volumes are made on the way."""

    def __init__(self, volumes: Volumes, containers: ContainerRegistry, chain: Callable[[str], str]) -> None:
        self._volumes = volumes
        self._containers = containers
        self._chain = chain
        """An image's chain id by its name."""

    def resolve(self, config: Mapping[str, Any], host: Mapping[str, Any]) -> list[MountPoint]:
        """Raises InvalidParameter and NotFound with dockerd's words."""
        found: dict[str, MountPoint] = {}
        for item in host["VolumesFrom"] or ():
            self._from_container(item, found)
        asked: set[str] = set()
        for point in [self._bind(spec) for spec in host["Binds"] or ()] + [
            self._mount(mount) for mount in host["Mounts"] or ()
        ]:
            if point.destination in asked:
                raise InvalidParameter(f"Duplicate mount point: {point.destination}")
            asked.add(point.destination)
            found[point.destination] = point
        for target, options in (host["Tmpfs"] or {}).items():
            path = _destination(target, target)
            if path in asked:
                raise InvalidParameter(f"Duplicate mount point: {path}")
            found[path] = MountPoint(
                "tmpfs", "", path, mode=options, rw="ro" not in options.split(","), options=_split(options)
            )
        for target in config["Volumes"] or ():
            path = _destination(target, target)
            if path not in found:
                found[path] = self._volume("", path, rw=True, mode="", anonymous=True)
        return [found[path] for path in sorted(found)]

    def _bind(self, spec: str) -> MountPoint:
        parts = spec.split(":")
        if len(parts) == 1:
            raise InvalidParameter(f"invalid volume specification: '{spec}'")
        if len(parts) > 3 or not parts[0] or not parts[1]:
            raise InvalidParameter(f"invalid volume specification: '{spec}': invalid mount config")
        source, target = parts[0], parts[1]
        modes = _split(parts[2]) if len(parts) == 3 else []
        if any(mode not in _MODES for mode in modes) or {"ro", "rw"} <= set(modes):
            raise InvalidParameter(f'invalid mode: "{parts[2]}"')
        destination = _destination(target, spec)
        mode = parts[2] if len(parts) == 3 else ""
        rw = "ro" not in modes
        if not source.startswith("/"):
            return self._volume(source, destination, rw=rw, mode=mode or "z", nocopy="nocopy" in modes)
        if "nocopy" in modes:
            raise InvalidParameter(f"invalid volume specification: '{spec}': nocopy is only for volumes")
        source = posixpath.normpath(source)
        if not os.path.lexists(source):
            os.makedirs(source, mode=0o755, exist_ok=True)
        propagation = next((m for m in modes if m in _PROPAGATIONS), "rprivate")
        return MountPoint("bind", source, destination, mode=mode, rw=rw, propagation=propagation, options=[propagation])

    def _mount(self, mount: Mapping[str, Any]) -> MountPoint:
        kind = mount.get("Type") or ""
        source = mount.get("Source") or ""
        where = f'invalid mount config for type "{kind}"'
        if kind not in {"bind", "volume", "tmpfs", "image"}:
            raise InvalidParameter(f"{where}: mount type unknown")
        if not mount.get("Target"):
            raise InvalidParameter(f"{where}: field Target must not be empty")
        destination = _destination(mount["Target"], f"{where}")
        rw = not mount.get("ReadOnly")
        if kind == "tmpfs":
            if source:
                raise InvalidParameter(f"{where}: field Source must not be specified")
            given = mount.get("TmpfsOptions") or {}
            options = [f"size={given['SizeBytes']}"] if given.get("SizeBytes") else []
            options += [f"mode={given['Mode']:o}"] if given.get("Mode") else []
            return MountPoint("tmpfs", "", destination, rw=rw, options=options)
        if kind == "volume":
            given = mount.get("VolumeOptions") or {}
            driver = given.get("DriverConfig") or {}
            return self._volume(
                source,
                destination,
                rw=rw,
                mode="z",
                nocopy=bool(given.get("NoCopy")),
                subpath=given.get("Subpath") or "",
                labels=given.get("Labels"),
                driver=driver.get("Name") or "",
                options=driver.get("Options"),
                anonymous=not source,
            )
        if not source:
            raise InvalidParameter(f"{where}: field Source must not be empty")
        if kind == "image":
            subpath = (mount.get("ImageOptions") or {}).get("Subpath") or ""
            return MountPoint("image", source, destination, rw=False, subpath=subpath, chain=self._chain(source))
        given = mount.get("BindOptions") or {}
        if not source.startswith("/"):
            raise InvalidParameter(f"{where}: invalid mount path: '{source}' mount path must be absolute")
        source = posixpath.normpath(source)
        if not os.path.lexists(source):
            if not given.get("CreateMountpoint"):
                raise InvalidParameter(f"{where}: bind source path does not exist: {source}")
            os.makedirs(source, mode=0o755)
        propagation = given.get("Propagation") or "rprivate"
        if propagation not in _PROPAGATIONS:
            raise InvalidParameter(f"{where}: invalid propagation mode: {propagation}")
        return MountPoint("bind", source, destination, rw=rw, propagation=propagation, options=[propagation])

    def _volume(
        self,
        name: str,
        destination: str,
        *,
        rw: bool,
        mode: str,
        nocopy: bool = False,
        subpath: str = "",
        labels: Mapping[str, str] | None = None,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> MountPoint:
        volume = self._volumes.create(name, driver=driver, options=options, labels=labels)
        tmpfs = _split(volume.options.get("o", "")) if volume.options.get("type") == "tmpfs" else None
        return MountPoint(
            "volume",
            volume.source,
            destination,
            name=volume.name,
            driver="local",
            mode=mode,
            rw=rw,
            options=["tmpfs", *tmpfs] if tmpfs is not None else [],
            subpath=subpath,
            nocopy=nocopy or tmpfs is not None or volume.binds,
            anonymous=anonymous,
        )

    def _from_container(self, item: str, found: dict[str, MountPoint]) -> None:
        reference, _, mode = item.partition(":")
        if mode not in {"", "ro", "rw", "z", "Z"}:
            raise InvalidParameter(f"invalid mode: {mode}")
        try:
            other = self._containers.get(reference)
        except NotFound:
            # no 404: clients take that of create for a missing image, and pull
            raise InvalidParameter(f"No such container: {reference}") from None
        for point in other.record.mounts:
            if point.type != "tmpfs":
                rw = point.rw and mode != "ro"
                found[point.destination] = MountPoint(**{**vars(point), "rw": rw, "nocopy": True})


def _destination(path: str, spec: str) -> str:
    if not path.startswith("/"):
        raise InvalidParameter(f"invalid mount path: '{path}' mount path must be absolute")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise InvalidParameter(
            f"invalid volume specification: '{spec}': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'"
        )
    return clean


def _split(options: str) -> list[str]:
    return [option for option in options.split(",") if option]
