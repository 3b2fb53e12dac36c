"""docker inspect of a container: everything, in the API's shape."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from dockmagic.engine.services.containers import config as configs
from dockmagic.engine.services.containers import hostconfig
from dockmagic.engine.services.containers.config import command
from dockmagic.engine.services.containers.record import Container

_LEGACY = ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen")


def shape(
    container: Container, driver: str, sizes: tuple[int, int] | None = None, links: list[str] | None = None
) -> dict[str, Any]:
    """The API's ContainerInspectResponse.

    ``driver`` names the storage, ``sizes`` are (written, whole root) bytes, ``links`` as HostConfig shows them.
    """
    record = container.record
    words = command(record.config)
    written = record.hosts
    answer: dict[str, Any] = {
        "Id": record.id,
        "Created": record.created,
        "Path": words[0],
        "Args": words[1:],
        "State": state(container),
        "Image": record.image_id,
        "ResolvConfPath": str(container.folder / "resolv.conf") if written else "",
        "HostnamePath": str(container.folder / "hostname") if written else "",
        "HostsPath": str(container.folder / "hosts") if written else "",
        "LogPath": "" if record.host_config["LogConfig"]["Type"] == "none" else str(container.log_path),
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": driver,
        "Platform": record.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": sorted(id for id, one in container.execs.items() if one.running) or None,
        "HostConfig": hostconfig.shape({**record.host_config, "Links": links}),
        "GraphDriver": {"Data": {"MergedDir": str(container.rootfs)} if container.rootfs else None, "Name": driver},
    }
    if sizes is not None:
        answer["SizeRw"], answer["SizeRootFs"] = sizes
    return {
        **answer,
        "Mounts": mounts(container),
        "Config": configs.shape(record.config),
        "NetworkSettings": network_settings(container),
    }


def mounts(container: Container) -> list[dict[str, Any]]:
    """The API's MountPoint list; those of HostConfig.Tmpfs are not in it."""
    unshown = {posixpath.normpath(path) for path in container.record.host_config["Tmpfs"] or ()}
    return [point.shape() for point in container.record.mounts if point.destination not in unshown]


def state(container: Container) -> dict[str, Any]:
    """The API's ContainerState."""
    record = container.record
    answer: dict[str, Any] = {
        "Status": record.status,
        "Running": container.running,
        "Paused": record.status == "paused",
        "Restarting": record.status == "restarting",
        "OOMKilled": record.oom_killed,
        "Dead": record.status == "dead",
        "Pid": record.pid,
        "ExitCode": record.exit_code,
        "Error": record.error,
        "StartedAt": record.started_at,
        "FinishedAt": record.finished_at,
    }
    if container.health is not None:
        answer["Health"] = container.health.shape()
    return answer


def network_settings(container: Container) -> dict[str, Any]:
    """The API's NetworkSettings; the old top-level fields repeat the default bridge's endpoint."""
    endpoints: Mapping[str, Any] = container.record.endpoints
    first = endpoints.get("bridge") or {}
    legacy = {name: first.get(name) or (0 if name.endswith("PrefixLen") else "") for name in _LEGACY}
    return {
        "Bridge": "",
        "SandboxID": container.id if container.running else "",
        "SandboxKey": f"/proc/{container.record.pid}/ns/net" if container.record.pid else "",
        "Ports": _ports(container),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **legacy,
        "IPv6Gateway": first.get("IPv6Gateway") or "",
        "MacAddress": first.get("MacAddress") or "",
        "Networks": dict(endpoints),
    }


def _ports(container: Container) -> dict[str, Any]:
    if not container.running or container.record.host_config["NetworkMode"] == "host":
        return {}
    exposed: dict[str, Any] = dict.fromkeys(container.record.config["ExposedPorts"] or ())
    return {**exposed, **container.record.published}
