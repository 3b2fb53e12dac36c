"""The one place where services meet: each gets what it needs by its constructor."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dockmagic.database import Database
from dockmagic.engine.api import NEWEST, OLDEST
from dockmagic.engine.http.router import Router
from dockmagic.engine.routes.archive import ArchiveRoutes
from dockmagic.engine.routes.attach import AttachRoutes
from dockmagic.engine.routes.build import BuildRoutes
from dockmagic.engine.routes.containers import ContainerRoutes
from dockmagic.engine.routes.images import ImageRoutes
from dockmagic.engine.routes.looking import LookingRoutes
from dockmagic.engine.routes.networks import NetworkRoutes
from dockmagic.engine.routes.swarm import SwarmRoutes
from dockmagic.engine.routes.system import SystemRoutes
from dockmagic.engine.routes.volumes import VolumeRoutes
from dockmagic.engine.services.archive import Archives
from dockmagic.engine.services.build import Builds
from dockmagic.engine.services.commit import Committer
from dockmagic.engine.services.containers.create import Maker
from dockmagic.engine.services.containers.health import HealthMonitor
from dockmagic.engine.services.containers.initlayer import InitLayers
from dockmagic.engine.services.containers.launch import Launcher
from dockmagic.engine.services.containers.life import Life
from dockmagic.engine.services.containers.listing import Listing
from dockmagic.engine.services.containers.mounts import MountResolver
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.containers.sizes import Sizes
from dockmagic.engine.services.containers.specs import SpecMaker
from dockmagic.engine.services.containers.update import Updater
from dockmagic.engine.services.diskusage import DiskUsage
from dockmagic.engine.services.events import Events
from dockmagic.engine.services.execs import Execs
from dockmagic.engine.services.images import Images
from dockmagic.engine.services.networks.dns import NameServers
from dockmagic.engine.services.networks.endpoints import Endpoints
from dockmagic.engine.services.networks.links import Links
from dockmagic.engine.services.networks.registry import NetworkRegistry
from dockmagic.engine.services.pulling import Transfers
from dockmagic.engine.services.system import System
from dockmagic.engine.services.volumes import Volumes
from dockmagic.images.content import Content
from dockmagic.images.snapshots import open_snapshots
from dockmagic.images.snapshots.trash import Trash
from dockmagic.images.store import Store
from dockmagic.images.transfers import forget_interrupted

if TYPE_CHECKING:
    from dockmagic.builder.build import Builder
    from dockmagic.images.registry import Registry
    from dockmagic.runtime.networks.service import Networks as Fabric
    from dockmagic.runtime.opening import ShimRuntime

T = TypeVar("T")


class Engine:
    """A wired engine: ``router`` has its routes, ``recover`` meets what earlier ones left, ``busy`` tells of work."""

    def __init__(self, root: Path, runtime: ShimRuntime) -> None:
        capability = runtime.capability
        database = Database(root / "state.db")
        self._snapshots = snapshots = open_snapshots(
            root,
            Content(root),
            database,
            overlay=capability.overlay,
            id_mapping=capability.id_mapping,
            copy_up=capability.tier == "tracer",
        )
        store = Store(root, database, snapshots)
        forget_interrupted(store)
        init_layers = InitLayers(snapshots)
        driver = "overlay2" if capability.overlay != "no" else "clone"

        events = Events()
        self._containers = containers = ContainerRegistry(database, root / "containers")
        volumes = Volumes(database, root / "volumes", events)
        fabric = once(lambda: _fabric(runtime, root / "networks"))
        self._networks = networks = NetworkRegistry(database, events, fabric)
        names = NameServers(containers, fabric)
        default = "host" if capability.tier == "rootless" else "bridge"
        links = Links(containers)
        endpoints = Endpoints(networks, containers, fabric, runtime, names, events, default, links)
        launcher = Launcher(runtime, snapshots, endpoints, SpecMaker(containers, links))
        health = HealthMonitor(events)
        self.life = life = Life(containers, runtime, launcher, health, events)
        execs = Execs(containers, runtime, launcher, events, links)
        health.probe = execs.probe
        self._trash = trash = Trash(root / "containers-trash")
        trash.sweep()
        mounts = MountResolver(volumes, containers, lambda name: store.chain(store.get(name)))
        self._maker = maker = Maker(
            containers, store, init_layers, life, mounts, volumes, endpoints, events, trash, capability
        )
        sizes = Sizes(store, driver)
        images = Images(store, init_layers, containers, events, driver)
        listing = Listing(containers, images.ancestry, sizes.of, links.names)
        registry = once(lambda: _registry(store))
        transfers = Transfers(store, registry, events)
        builds = Builds(
            once(lambda: _builder(store, registry(), runtime, database, root / "builder")), images.id_of, events
        )
        usage = DiskUsage(images, containers, sizes, volumes, maker.volume_users, builds.records)
        system = System(root, capability, containers, store, driver, events.listeners)

        nouns = (
            SystemRoutes(system, events, usage),
            ContainerRoutes(containers, maker, life, listing, sizes, Updater(containers, events, capability), links),
            AttachRoutes(containers, life, execs),
            LookingRoutes(containers, snapshots, events),
            ArchiveRoutes(containers, Archives(launcher, events)),
            ImageRoutes(images, transfers, Committer(containers, store, life, events)),
            BuildRoutes(builds),
            VolumeRoutes(volumes, maker.volume_users),
            NetworkRoutes(networks, endpoints, containers),
            SwarmRoutes(),
        )
        self.router = Router((route for noun in nouns for route in noun.routes()), newest=NEWEST, oldest=OLDEST)

    def recover(self) -> None:
        """What earlier engines left: containers that run on, and what a crash left over."""
        self._maker.tidy()
        self._networks.adopt()
        self.life.recover()

    def end(self) -> None:
        """Stop what runs, and take from the machine what was put there: mounts and networks."""
        self.life.shutdown()
        if not self.busy():
            self._networks.lower_all()
            self._snapshots.close()
        self._trash.close()

    def busy(self) -> bool:
        """Whether a container runs."""
        return any(container.running for container in self._containers.all())


def once(make: Callable[[], T]) -> Callable[[], T]:
    """``make``, called by the first who needs its result, from whatever thread, and never again."""
    lock = threading.Lock()

    @functools.lru_cache(maxsize=1)
    def made() -> T:
        return make()

    def get() -> T:
        with lock:
            return made()

    return get


def _fabric(runtime: ShimRuntime, folder: Path) -> Fabric:
    if runtime.capability.tier == "tracer":
        from dockmagic.runtime.tracer.fabric import LoopbackNetworks

        return LoopbackNetworks(folder)
    from dockmagic.runtime.networks.service import Networks

    return Networks(runtime, folder)


def _registry(store: Store) -> Registry:
    from dockmagic.images.registry import Registry

    return Registry(store)


def _builder(store: Store, registry: Registry, runtime: ShimRuntime, database: Database, folder: Path) -> Builder:
    from dockmagic.builder.build import Builder

    return Builder(store, registry, runtime, database, folder)
