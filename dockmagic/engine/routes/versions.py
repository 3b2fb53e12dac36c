"""What an answer shows to a client of an older API version, or no longer shows to one of a newer (API history).

Services make the shapes of the newest version together with what older ones had; here fields come and go.
"""

from __future__ import annotations

from typing import Any

Version = tuple[int, int]
_NOT_OF_IMAGES = (
    "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "Image",
)  # fmt: skip
_COMMITS = ("ContainerdCommit", "RuncCommit", "InitCommit")


def create(asked: dict[str, Any], version: Version) -> dict[str, Any]:
    """The body of a create call, with what its version took for granted."""
    host = asked.get("HostConfig")
    if version < (1, 40) and isinstance(host, dict) and not host.get("IpcMode"):
        asked["HostConfig"] = {**host, "IpcMode": "shareable"}
    return asked


def image(shape: dict[str, Any], version: Version) -> dict[str, Any]:
    """An ImageInspect."""
    if version >= (1, 44):
        shape.pop("VirtualSize", None)
    if version >= (1, 45):
        shape.pop("Container", None)
        shape.pop("ContainerConfig", None)
    if version >= (1, 50):
        shape["Config"] = {name: value for name, value in shape["Config"].items() if name not in _NOT_OF_IMAGES}
    return shape


def images(shapes: list[dict[str, Any]], version: Version) -> list[dict[str, Any]]:
    """The ImageSummary list."""
    for shape in shapes:
        if version >= (1, 44):
            shape.pop("VirtualSize", None)
        if version < (1, 51):
            shape["Containers"] = -1
    return shapes


def disk_usage(shape: dict[str, Any], version: Version) -> dict[str, Any]:
    """A SystemDataUsageResponse."""
    if version >= (1, 44):
        for one in shape["Images"] or ():
            one.pop("VirtualSize")
    return shape


def container(shape: dict[str, Any], version: Version) -> dict[str, Any]:
    """A ContainerInspectResponse."""
    if version < (1, 45):
        networks = shape["NetworkSettings"]["Networks"]
        shape["NetworkSettings"]["Networks"] = {
            name: {**endpoint, "Aliases": [*(endpoint.get("Aliases") or ()), shape["Id"][:12]]}
            if endpoint.get("DNSNames")
            else endpoint
            for name, endpoint in networks.items()
        }
    return shape


def containers(shapes: list[dict[str, Any]], version: Version) -> list[dict[str, Any]]:
    """The ContainerSummary list."""
    if version < (1, 46):
        for shape in shapes:
            shape["HostConfig"].pop("Annotations", None)
    return shapes


def info(shape: dict[str, Any], version: Version) -> dict[str, Any]:
    """A SystemInfo."""
    if version < (1, 44):
        shape.pop("CDISpecDirs")
    if version < (1, 49):
        shape.pop("FirewallBackend", None)
        for name in _COMMITS:
            shape[name]["Expected"] = shape[name]["ID"]
    else:
        shape["RegistryConfig"].pop("AllowNondistributableArtifactsCIDRs")
        shape["RegistryConfig"].pop("AllowNondistributableArtifactsHostnames")
    if version >= (1, 50):
        shape.pop("BridgeNfIptables")
        shape.pop("BridgeNfIp6tables")
    return shape
