"""A network's record, in the API's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ipaddress

PREDEFINED = ("bridge", "host", "none")
NO_ENDPOINT: dict[str, Any] = {
    "IPAMConfig": None, "Links": None, "Aliases": None, "MacAddress": "", "DriverOpts": None, "NetworkID": "",
    "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0, "DNSNames": None, "GwPriority": 0,
}  # fmt: skip
"""An EndpointSettings of a container that does not run."""


@dataclass(frozen=True)
class Pool:
    """One subnet of a network."""

    subnet: ipaddress.IPv4Network | ipaddress.IPv6Network
    gateway: str
    within: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    """The part addresses are taken of (``--ip-range``)."""


@dataclass
class Network:
    """One network, with the fields of the API's Network."""

    id: str
    name: str
    driver: str
    created: str
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    ipam: dict[str, Any] = field(default_factory=lambda: {"Driver": "default", "Options": None, "Config": []})
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    chosen: bool = False
    """Its subnet was chosen here: another one will do when something else of the machine's has taken it."""

    @property
    def bridged(self) -> bool:
        return self.driver == "bridge"

    @property
    def custom(self) -> bool:
        """Made by a user: names resolve on it."""
        return self.name not in PREDEFINED

    def pools(self) -> list[Pool]:
        """Its subnets, IPv4 first."""
        import ipaddress

        found = [
            Pool(
                ipaddress.ip_network(item["Subnet"]),
                item["Gateway"],
                ipaddress.ip_network(item["IPRange"], strict=False) if item.get("IPRange") else None,
            )
            for item in self.ipam["Config"]
        ]
        return sorted(found, key=lambda pool: pool.subnet.version)

    def shape(self, containers: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "Name": self.name,
            "Id": self.id,
            "Created": self.created,
            "Scope": "local",
            "Driver": self.driver,
            "EnableIPv4": True,
            "EnableIPv6": self.ipv6,
            "IPAM": self.ipam,
            "Internal": self.internal,
            "Attachable": self.attachable,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": dict(containers or {}),
            "Options": self.options,
            "Labels": self.labels,
        }
