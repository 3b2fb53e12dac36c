"""Making containers and removing them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.engine import clock
from dockmagic.engine.filters import Filters, check, excluded_by_label, labels_match
from dockmagic.engine.ids import new_id
from dockmagic.engine.services import names
from dockmagic.engine.services.containers import config as configs
from dockmagic.engine.services.containers import hostconfig, resources
from dockmagic.engine.services.containers.files import default_hostname
from dockmagic.engine.services.containers.initlayer import InitLayers
from dockmagic.engine.services.containers.life import Life
from dockmagic.engine.services.containers.mounts import MountResolver
from dockmagic.engine.services.containers.record import Container, MountPoint, Record
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.copytree import copy_content
from dockmagic.engine.services.events import Events
from dockmagic.engine.services.images import other_platform
from dockmagic.engine.services.networks.endpoints import Endpoints
from dockmagic.engine.services.networks.links import split
from dockmagic.engine.services.volumes import Volumes
from dockmagic.errors import Conflict, DockmagicError, InvalidParameter, NotFound
from dockmagic.inroot import resolve
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.images.snapshots.trash import Trash
    from dockmagic.images.store import Store, StoredImage
    from dockmagic.runtime.protocols import Capability

_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass
class Created:
    """``id`` and ``warnings`` of a new container."""

    id: str
    warnings: list[str] = field(default_factory=list)


class Maker:
    """Creates, renames and removes containers."""

    def __init__(
        self,
        registry: ContainerRegistry,
        store: Store,
        init_layers: InitLayers,
        life: Life,
        mounts: MountResolver,
        volumes: Volumes,
        networks: Endpoints,
        events: Events,
        trash: Trash,
        capability: Capability,
    ) -> None:
        self._registry = registry
        self._store = store
        self._init_layers = init_layers
        self._life = life
        self._mounts = mounts
        self._volumes = volumes
        self._networks = networks
        self._events = events
        self._trash = trash
        self._capability = capability
        life.when_removable = self._remove_quietly

    def create(self, body: Mapping[str, Any], name: str, platform: str = "") -> Created:
        """Make a container of the create call's ``body``. Raises InvalidParameter, NotFound, Conflict."""
        if not body:
            raise InvalidParameter("config cannot be empty in order to create a container")
        host, warnings = hostconfig.completed(body.get("HostConfig"))
        warnings += resources.not_kept(host, self._capability)
        reference = body.get("Image") or ""
        if not reference:
            raise InvalidParameter("no image specified")
        image = self._image(reference)
        if platform:
            _check_platform(image, reference, platform)
        config = configs.merged(body, image.config.get("config") or {})
        chosen = self._name(name)
        id = self._id()
        if not config["Hostname"]:
            config["Hostname"] = default_hostname(id, host["NetworkMode"])
        self._name_by_ids(host)
        asked = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        endpoints = self._networks.plan(host, asked, config["MacAddress"])
        host["Links"] = self._linked(host)
        if "host" in endpoints and host["NetworkMode"] != "host" and host["PortBindings"]:
            warnings.append("Published ports are discarded: this runtime shares the host's network")
        snapshot = self._store.snapshots.prepare(id, self._init_layers.on(self._store.chain(image)))
        try:
            mounts = self._mounts.resolve(config, host)
            _check_working_folder(str(snapshot.path), config["WorkingDir"])
            self._populate(str(snapshot.path), mounts)
            record = Record(
                id=id,
                name=chosen,
                created=clock.now(),
                image_id=image.id,
                chain="",
                config=config,
                host_config=host,
                mounts=mounts,
                endpoints=endpoints,
                macs={name: endpoint["MacAddress"] for name, endpoint in endpoints.items()},
                platform=(platform or "linux").partition("/")[0],
            )
            os.makedirs(self._registry.folder / id, mode=0o711)
            container = self._keep(record, made_up=not name)
        except BaseException:
            self._store.snapshots.remove(id)
            shutil.rmtree(self._registry.folder / id, ignore_errors=True)
            raise
        container.rootfs, container.copy_on_write = snapshot.path, snapshot.copy_on_write
        self._events.publish("container", "create", id, container.attributes())
        return Created(id, warnings)

    def _keep(self, record: Record, *, made_up: bool) -> Container:
        """Keep the record; with another name when somebody was quicker with one that was made up."""
        while True:
            try:
                return self._registry.add(record)
            except Conflict:
                if not made_up:
                    raise
                record.name = names.unused(self._registry.name_taken)

    def rename(self, container: Container, name: str) -> None:
        """Raises InvalidParameter and Conflict."""
        if not name:
            raise InvalidParameter("Neither old nor new names may be empty")
        if not _NAME.fullmatch(name):
            raise InvalidParameter(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        with container.lock:
            before = container.name
            if before == name.removeprefix("/"):
                raise InvalidParameter("Renaming a container with the same name as its current name")
            self._registry.rename(container, name.removeprefix("/"))
        self._events.publish("container", "rename", container.id, container.attributes(oldName=f"/{before}"))

    def remove(self, container: Container, *, volumes: bool = False, force: bool = False) -> None:
        """Raises Conflict while it runs (without ``force``) or is being removed already."""
        with container.lock:
            if container.removing:
                raise Conflict(f"removal of container {container.name} is already in progress")
            if container.running and not force:
                status = container.record.status
                how = (
                    "must be unpaused first"
                    if status == "paused"
                    else "stop the container before removing or force remove"
                )
                separator = " and " if status == "paused" else ": "
                raise Conflict(f'cannot remove container "/{container.name}": container is {status}{separator}{how}')
            container.removing = True
            try:
                if container.running:
                    self._life.end(container)
                for key in (*container.image_keys(), container.id):
                    self._store.snapshots.remove(key)
            except DockmagicError:
                container.removing = False
                raise
            self._trash.throw(container.folder)
            self._registry.remove(container)
            container.removed = True
            container.record.status = "removing"
            for pending in container.pending:
                pending.deliver(None)
            container.changed.notify_all()
        if volumes:
            self._remove_anonymous(container)
        self._events.publish("container", "destroy", container.id, container.attributes())

    def prune(self, filters: Filters) -> tuple[list[str], int]:
        """Remove what does not run; ids and bytes freed."""
        check(filters, {"label", "label!", "until"})
        until = clock.parse_moment(filters["until"][0], "until") if filters.get("until") else 0
        removed = []
        freed = 0
        for container in self._registry.all():
            if container.running or not labels_match(filters, container.labels):
                continue
            if excluded_by_label(filters, container.labels):
                continue
            if until and clock.parse(container.record.created) > until:
                continue
            size = self._store.snapshots.usage(container.id)
            try:
                self.remove(container)
            except Conflict:
                continue  # started or removed by somebody else meanwhile
            removed.append(container.id)
            freed += size
        self._events.publish("container", "prune", "", {"reclaimed": str(freed)})
        return removed, freed

    def tidy(self) -> None:
        """Remove the roots and folders of containers that a crash left without a record."""
        known = {container.id for container in self._registry.all()}
        for key in list(self._store.snapshots.keys()):
            id = key.partition("-")[0]  # a mounted image's is ID-NUMBER
            if _ID.fullmatch(id) and id not in known:
                self._store.snapshots.remove(key)
        folder = self._registry.folder
        for name in os.listdir(folder):
            if _ID.fullmatch(name) and name not in known:
                self._trash.throw(folder / name)

    def _remove_quietly(self, container: Container) -> None:
        try:
            self.remove(container, volumes=True, force=True)
        except Conflict:
            pass  # the user removes it already

    def _remove_anonymous(self, container: Container) -> None:
        for point in container.record.mounts:
            if point.anonymous and point.name:
                try:
                    self._volumes.remove(point.name, self.volume_users)
                except (Conflict, NotFound):
                    continue  # another container has it by --volumes-from

    def volume_users(self, name: str) -> list[str]:
        """The ids of the containers with a mount of the volume ``name``."""
        return [c.id for c in self._registry.all() if any(point.name == name for point in c.record.mounts)]

    def _name_by_ids(self, host: dict[str, Any]) -> None:
        """Name the containers whose namespaces this one joins by ids: names may change. Raises InvalidParameter."""
        for mode in ("NetworkMode", "PidMode", "IpcMode"):
            kind, _, reference = host[mode].partition(":")
            if kind != "container":
                continue
            try:
                host[mode] = f"container:{self._registry.get(reference).id}"
            except NotFound as error:
                if mode != "NetworkMode":  # told when it starts; clients take a 404 for a missing image
                    raise InvalidParameter(str(error)) from None

    def _linked(self, host: Mapping[str, Any]) -> list[str] | None:
        """The links asked for, by the others' ids: names may change."""
        if not host["Links"]:
            return None
        if host["NetworkMode"] == "host":
            raise InvalidParameter(
                "conflicting options: host type networking can't be used with links. This would result in undefined "
                "behavior"
            )
        found = []
        for reference, alias in map(split, host["Links"]):
            try:
                found.append(f"{self._registry.get(reference).id}:{alias}")
            except NotFound as error:
                raise InvalidParameter(f"could not get container for {reference}: {error}") from None
        return found

    def _image(self, reference: str) -> Any:
        try:
            return self._store.get(reference)
        except NotFound:
            from dockmagic.images.reference import Reference

            try:
                familiar = Reference.parse(reference).familiar
            except InvalidParameter:
                familiar = reference
            raise NotFound(f"No such image: {familiar}") from None

    def _name(self, asked: str) -> str:
        if not asked:
            return names.unused(self._registry.name_taken)
        if not _NAME.fullmatch(asked):
            raise InvalidParameter(f"Invalid container name ({asked}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        return asked.removeprefix("/")

    def _id(self) -> str:
        while True:
            id = new_id()
            if not id[:12].isdecimal():  # a name of digits alone would be taken for a number in many a tool
                return id

    def _populate(self, rootfs: str, mounts: list[MountPoint]) -> None:
        for point in mounts:
            if point.type != "volume" or point.nocopy or point.subpath:
                continue
            inside = resolve(rootfs, point.destination)
            if Path(inside).is_dir() and not any(Path(point.source).iterdir()):
                copy_content(inside, point.source)


def _check_platform(image: StoredImage, reference: str, wanted: str) -> None:
    """Raises InvalidParameter for a platform that is none, NotFound (so that clients pull) for another one's image."""
    asked, is_for = Platform.parse(wanted), Platform.of(image.config)
    same = (asked.os, asked.architecture) == (is_for.os, is_for.architecture)
    if not same or is_for.variant not in ("", asked.variant):
        raise other_platform(reference, str(asked), str(is_for))


def _check_working_folder(rootfs: str, path: str) -> None:
    inside = resolve(rootfs, path) if path else rootfs
    if os.path.exists(inside) and not os.path.isdir(inside):
        raise DockmagicError(f"Cannot mkdir: {path} is not a directory")
