"""What is kept of a container, and the live half that a restart of the engine makes anew."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.engine.clock import ZERO

if TYPE_CHECKING:
    from dockmagic.runtime.protocols import Process

RUNNING = {"running", "paused", "restarting"}
"""The statuses that dockerd calls running."""


@dataclass
class MountPoint:
    """One mount, with the fields of the API's MountPoint. ``subpath`` is inside a volume."""

    type: str
    source: str
    destination: str
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    options: list[str] = field(default_factory=list)
    subpath: str = ""
    nocopy: bool = False
    anonymous: bool = False
    """A volume made for this container alone: ``rm -v`` and ``--rm`` remove it."""
    chain: str = ""
    """Of an image that is mounted: its stack of layers."""

    def shape(self) -> dict[str, Any]:
        """As the API shows it."""
        shape: dict[str, Any] = {"Type": self.type}
        if self.name:
            shape["Name"] = self.name
        shape |= {"Source": self.source, "Destination": self.destination}
        if self.driver:
            shape["Driver"] = self.driver
        return {**shape, "Mode": self.mode, "RW": self.rw, "Propagation": self.propagation}


@dataclass
class Record:
    """Everything about a container that outlives the engine. ``config`` and ``host_config`` have the API's shapes."""

    id: str
    name: str
    created: str
    image_id: str
    chain: str
    config: dict[str, Any]
    host_config: dict[str, Any]
    mounts: list[MountPoint] = field(default_factory=list)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Network name to the API's EndpointSettings."""
    platform: str = "linux"
    status: str = "created"
    """created, running, paused, restarting, removing, exited or dead"""
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = ZERO
    finished_at: str = ZERO
    restart_count: int = 0
    stopped_by_user: bool = False
    published: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """``80/tcp`` to the API's PortBindings, while it runs."""
    macs: dict[str, str] = field(default_factory=dict)
    """Network name to the MAC address asked for; "": any."""
    hosts: bool = True
    """Whether the engine writes /etc/hosts and its like (no mount of the user's is there)."""

    def encode(self) -> str:
        return json.dumps({**vars(self), "mounts": [vars(mount) for mount in self.mounts]}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Record:
        values = json.loads(text)
        values["mounts"] = [MountPoint(**mount) for mount in values["mounts"]]
        return cls(**values)


class Pending:
    """An attachment asked for before the container started; the start hands it its stream."""

    def __init__(self, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        self.streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        self.ready = threading.Event()
        self.stream: Any = None
        """A socket once started; None when it will never start."""

    def deliver(self, stream: Any) -> None:
        self.stream = stream
        self.ready.set()


class Container:
    """A container in this engine's life: its record, its process, and who waits for it. Change it under ``lock``."""

    def __init__(self, record: Record, folder: Path) -> None:
        self.record = record
        self.folder = folder
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.process: Process | None = None
        self.rootfs: Path | None = None
        self.copy_on_write = False
        self.image_roots: dict[str, Path] = {}
        """Where the images are that are mounted into it, by destination."""
        self.pending: list[Pending] = []
        self.exits = 0
        """How often it has ended while this engine ran."""
        self.removed = False
        self.removing = False
        self.stopping = False
        """The user asked it to end: no restart policy brings it back."""
        self.execs: dict[str, Any] = {}
        self.health: Health | None = None
        self.restart_timer: threading.Timer | None = None
        self.backoff = 0.0

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def running(self) -> bool:
        """Running as dockerd says it: paused and restarting count."""
        return self.record.status in RUNNING

    @property
    def tty(self) -> bool:
        return bool(self.record.config["Tty"])

    def image_keys(self) -> dict[str, str]:
        """The snapshots of the images mounted into it: key to destination."""
        images = [point.destination for point in self.record.mounts if point.type == "image"]
        return {f"{self.id}-{position}": destination for position, destination in enumerate(images)}

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.id}-json.log"

    @property
    def labels(self) -> Mapping[str, str]:
        return self.record.config.get("Labels") or {}

    def attributes(self, **more: str) -> dict[str, str]:
        """What its events tell: labels, image, name and ``more``."""
        return {**self.labels, **more, "image": self.record.config["Image"], "name": self.name}


@dataclass
class Health:
    """What the healthcheck found. ``log`` has the API's HealthcheckResult shapes, the last five."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        return {"Status": self.status, "FailingStreak": self.failing_streak, "Log": list(self.log)}
