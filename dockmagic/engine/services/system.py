"""What this engine is: version, info, and what its tier does not isolate."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dockmagic
from dockmagic.engine import clock
from dockmagic.engine.api import NEWEST, OLDEST, dotted
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.runtime.protocols import Capability

if TYPE_CHECKING:
    from dockmagic.images.store import Store

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_INDEX = "https://index.docker.io/v1/"


class System:
    """Answers about the engine. ``listeners`` counts who follows the events."""

    def __init__(
        self,
        root: Path,
        capability: Capability,
        registry: ContainerRegistry,
        store: Store,
        driver: str,
        listeners: Callable[[], int],
    ) -> None:
        self._root = root
        self._capability = capability
        self._registry = registry
        self._store = store
        self._driver = driver
        self._listeners = listeners
        self._id = _engine_id(root)

    def version(self) -> dict[str, Any]:
        """The API's SystemVersion."""
        import platform

        machine = platform.machine()
        arch = _ARCHITECTURES.get(machine, machine)
        kernel = platform.release()
        built = "2026-11-24T00:00:00.000000000+00:00"
        details = {
            "ApiVersion": dotted(NEWEST),
            "Arch": arch,
            "BuildTime": built,
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": "",
            "KernelVersion": kernel,
            "MinAPIVersion": dotted(OLDEST),
            "Os": "linux",
        }
        return {
            "Platform": {"Name": "dockmagic"},
            "Components": [
                {"Name": "Engine", "Version": dockmagic.__version__, "Details": details},
                {
                    "Name": "dockmagic-runtime",
                    "Version": dockmagic.__version__,
                    "Details": {"GitCommit": "", "Tier": self._capability.tier},
                },
                {"Name": "python", "Version": platform.python_version(), "Details": {"GitCommit": ""}},
            ],
            "Version": dockmagic.__version__,
            "ApiVersion": dotted(NEWEST),
            "MinAPIVersion": dotted(OLDEST),
            "GitCommit": "",
            "GoVersion": "",
            "Os": "linux",
            "Arch": arch,
            "KernelVersion": kernel,
            "BuildTime": built,
        }

    def info(self) -> dict[str, Any]:
        """The API's SystemInfo; ``Labels`` and ``Warnings`` tell the tier and what it does not isolate."""
        import platform

        states = [container.record.status for container in self._registry.all()]
        capability = self._capability
        limits = capability.tier == "namespaces"
        name, version = _operating_system()
        running = sum(status in {"running", "restarting"} for status in states)
        paused = states.count("paused")
        mirrors = _mirrors()
        return {
            "ID": self._id,
            "Containers": len(states),
            "ContainersRunning": running,
            "ContainersPaused": paused,
            "ContainersStopped": len(states) - running - paused,
            "Images": len(self._store.list()),
            "Driver": self._driver,
            "DriverStatus": [["Id mapping", capability.id_mapping], ["Overlay options", capability.overlay or "none"]],
            "Plugins": {
                "Volume": ["local"],
                "Network": ["bridge", "host", "null"],
                "Authorization": None,
                "Log": ["json-file", "local", "none"],
            },
            "MemoryLimit": limits,
            "SwapLimit": limits,
            "CpuCfsPeriod": limits,
            "CpuCfsQuota": limits,
            "CPUShares": limits,
            "CPUSet": limits,
            "PidsLimit": limits,
            "IPv4Forwarding": True,
            "BridgeNfIptables": False,
            "BridgeNfIp6tables": False,
            "Debug": False,
            "NFd": len(os.listdir("/proc/self/fd")),
            "OomKillDisable": False,
            "NGoroutines": len(os.listdir("/proc/self/task")),
            "SystemTime": clock.now(),
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs" if limits else "none",
            "CgroupVersion": "2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "1",
            "NEventsListener": self._listeners(),
            "KernelVersion": platform.release(),
            "OperatingSystem": name,
            "OSVersion": version,
            "OSType": "linux",
            "Architecture": platform.machine(),
            "IndexServerAddress": _INDEX,
            "RegistryConfig": {
                "AllowNondistributableArtifactsCIDRs": None,
                "AllowNondistributableArtifactsHostnames": None,
                "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"],
                "IndexConfigs": {
                    "docker.io": {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True}
                },
                "Mirrors": mirrors,
            },
            "NCPU": len(os.sched_getaffinity(0)),
            "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "GenericResources": None,
            "DockerRootDir": str(self._root),
            "HttpProxy": os.environ.get("HTTP_PROXY", ""),
            "HttpsProxy": os.environ.get("HTTPS_PROXY", ""),
            "NoProxy": os.environ.get("NO_PROXY", ""),
            "Name": socket.gethostname(),
            "Labels": self._labels(),
            "ExperimentalBuild": False,
            "ServerVersion": dockmagic.__version__,
            "Runtimes": {"runc": {"path": f"dockmagic ({capability.tier})"}},  # the name that clients ask for
            "DefaultRuntime": "runc",
            "Swarm": {
                "NodeID": "",
                "NodeAddr": "",
                "LocalNodeState": "inactive",
                "ControlAvailable": False,
                "Error": "",
                "RemoteManagers": None,
            },
            "LiveRestoreEnabled": True,
            "Isolation": "",
            "InitBinary": "dockmagic",
            "ContainerdCommit": {"ID": ""},
            "RuncCommit": {"ID": ""},
            "InitCommit": {"ID": ""},
            "SecurityOptions": self._security(),
            "CDISpecDirs": [],
            **({"FirewallBackend": {"Driver": "nftables"}} if capability.tier == "namespaces" else {}),
            "Warnings": [f"Not isolated: {line}" for line in capability.not_isolated] or None,
        }

    def _labels(self) -> list[str]:
        labels = [f"dockmagic.tier={self._capability.tier}"]
        return labels + [f"dockmagic.not-isolated={line}" for line in self._capability.not_isolated]

    def _security(self) -> list[str]:
        if self._capability.tier == "tracer":
            return []
        options = ["name=seccomp,profile=builtin"]
        return [*options, "name=rootless"] if self._capability.tier == "rootless" else options


def _mirrors() -> list[str]:
    from dockmagic.images.registry.endpoints import Endpoints

    return list(Endpoints.from_environment().mirrors)


def _engine_id(root: Path) -> str:
    path = root / "engine-id"
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        import uuid

        id = str(uuid.uuid4())
        path.write_text(id, encoding="ascii")
        return id


def _operating_system() -> tuple[str, str]:
    import platform

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return platform.system(), ""
    return release.get("PRETTY_NAME", release["NAME"]), release.get("VERSION_ID", "")
