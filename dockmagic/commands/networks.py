"""docker network …"""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import Any

from dockmagic.commands import checked
from dockmagic.commands.containerspec import key_values
from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.inspecting import show_inspected
from dockmagic.commands.lifecycle import confirmed, each
from dockmagic.commands.listing import Listing, parse_filters
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import parse_time
from dockmagic.views.text import Text
from dockmagic.views.view import View

NETWORKS = Listing(
    "*formatter.networkContext",
    {
        "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "CreatedAt": "CREATED AT",
        "IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS",
    },
    ("ID", "Name", "Driver", "Scope"),
)  # fmt: skip


@command
def ls(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network ls [OPTIONS]

    List networks

    Aliases:
      docker network ls, docker network list

    Options:
      -f, --filter filter   Provide filter values (e.g. "driver=bridge")
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
          --no-trunc        Do not truncate the output
      -q, --quiet           Only display network IDs
    """
    found = session.engine.get("/networks", filters=parse_filters(options.all("filter")))
    rows = []
    for n in sorted(found, key=lambda n: str(n["Name"])):
        labels = n.get("Labels") or {}
        rows.append(
            {
                "ID": n["Id"] if options.on("no-trunc") else n["Id"][:12],
                "Name": n["Name"],
                "Driver": n.get("Driver", ""),
                "Scope": n.get("Scope", ""),
                "CreatedAt": _created(str(n.get("Created", ""))),
                "IPv4": str(bool(n.get("EnableIPv4"))).lower(),
                "IPv6": str(bool(n.get("EnableIPv6"))).lower(),
                "Internal": str(bool(n.get("Internal"))).lower(),
                "Labels": ",".join(f"{k}={v}" for k, v in sorted(labels.items())),
                "Label": labels.get,
            }
        )
    return NETWORKS.show(rows, options.text("format"), quiet=options.on("quiet"))


def _created(text: str) -> str:
    try:
        moment = parse_time(text)
    except ValueError:
        return text
    return f"{moment:%Y-%m-%d %H:%M:%S.%f} {moment:%z} {moment.tzname() or ''}".strip()


@command
def create(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network create [OPTIONS] NETWORK

    Create a network

    Options:
          --attachable           Enable manual container attachment
          --aux-address map      Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])
          --config-from string   The network from which to copy the configuration
          --config-only          Create a configuration only network
      -d, --driver string        Driver to manage the Network (default "bridge")
          --gateway strings      IPv4 or IPv6 Gateway for the master subnet
          --ingress              Create swarm routing-mesh network
          --internal             Restrict external access to the network
          --ip-range strings     Allocate container ip from a sub-range
          --ipam-driver string   IP Address Management Driver (default "default")
          --ipam-opt map         Set IPAM driver specific options (default map[])
          --ipv4                 Enable or disable IPv4 address assignment (default true)
          --ipv6                 Enable or disable IPv6 address assignment
          --label list           Set metadata on a network
      -o, --opt map              Set driver specific options (default map[])
          --scope string         Control the network's scope
          --subnet strings       Subnet in CIDR format that represents a network segment
    """
    body = {
        "Name": operands[0],
        "Driver": options.text("driver") or "bridge",
        "CheckDuplicate": True,
        "Attachable": options.on("attachable"),
        "Internal": options.on("internal"),
        "Ingress": options.on("ingress"),
        "Scope": options.text("scope"),
        "ConfigOnly": options.on("config-only"),
        **({"ConfigFrom": {"Network": options.text("config-from")}} if options.given("config-from") else {}),
        **({"EnableIPv4": options.on("ipv4")} if options.given("ipv4") else {}),
        "EnableIPv6": options.on("ipv6"),
        "Options": key_values(options.all("opt")),
        "Labels": key_values(options.all("label")),
        "IPAM": {
            "Driver": options.text("ipam-driver") or "default",
            "Options": key_values(options.all("ipam-opt")),
            "Config": address_pools(
                options.all("subnet"),
                options.all("ip-range"),
                options.all("gateway"),
                key_values(options.all("aux-address")),
            ),
        },
    }
    answer = session.engine.post("/networks/create", body)
    if answer.get("Warning"):
        session.console.note(f"WARNING: {answer['Warning']}")
    return Text(answer["Id"])


def address_pools(
    subnets: list[str], ranges: list[str], gateways: list[str], auxiliary: dict[str, str]
) -> list[dict[str, Any]]:
    """Each subnet with the range, the gateway and the addresses that lie in it (docker CLI, network/create.go).

    Raises CommandError.
    """
    pools: dict[str, dict[str, Any]] = {}
    if len(ranges) > len(subnets) or len(gateways) > len(subnets):
        raise CommandError("every ip-range or gateway must have a corresponding subnet")
    try:
        for subnet in subnets:
            if any(ip_network(subnet, strict=False).overlaps(ip_network(s, strict=False)) for s in pools):
                raise CommandError("multiple overlapping subnet configuration is not supported")
            pools[subnet] = {"Subnet": subnet}
        for field, values in (("IPRange", ranges), ("Gateway", gateways)):
            for value in values:
                pool = _pool_of(pools, value)
                if pool is None:
                    raise CommandError(f"no matching subnet for {'range' if field == 'IPRange' else 'gateway'} {value}")
                if field in pool:
                    what = "ranges" if field == "IPRange" else "gateways"
                    raise CommandError(f"cannot configure multiple {what} ({value}, {pool[field]}) on the same subnet")
                pool[field] = value
        for name, address in auxiliary.items():
            pool = _pool_of(pools, address)
            if pool is None:
                raise CommandError(f"no matching subnet for aux-address {address}")
            pool.setdefault("AuxiliaryAddresses", {})[name] = address
    except ValueError as error:
        raise CommandError(f"invalid address: {error}") from None
    return list(pools.values())


def _pool_of(pools: dict[str, dict[str, Any]], address: str) -> dict[str, Any] | None:
    """The pool that an address, or the first of a range, lies in."""
    first = ip_interface(address).ip
    return next((pool for subnet, pool in pools.items() if first in ip_network(subnet, strict=False)), None)


@command
def rm(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network rm NETWORK [NETWORK...]

    Remove one or more networks

    Aliases:
      docker network rm, docker network remove

    Options:
      -f, --force   Do not error if the network does not exist
    """

    def remove(name: str) -> str:
        try:
            session.engine.delete(f"/networks/{name}")
        except EngineError as error:
            if not (options.on("force") and error.status == 404):
                raise
        return name

    try:
        return each(session, operands, remove)
    except CommandError as error:
        raise CommandError(f"{error}\nexit status 1") from None


@command
def connect(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network connect [OPTIONS] NETWORK CONTAINER

    Connect a container to a network

    Options:
          --alias strings           Add network-scoped alias for the container
          --driver-opt strings      driver options for the network
          --gw-priority int         Highest gw-priority provides the default gateway. Accepts positive
                                    and negative values.
          --ip string               IPv4 address (e.g., "172.30.100.104")
          --ip6 string              IPv6 address (e.g., "2001:db8::33")
          --link list               Add link to another container
          --link-local-ip strings   Add a link-local address for the container
    """
    network, container = operands
    addresses = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": options.all("link-local-ip"),
    }
    endpoint: dict[str, object] = {"Aliases": options.all("alias"), "Links": options.each("link", checked.link)}
    if options.given("driver-opt"):
        endpoint["DriverOpts"] = key_values(options.all("driver-opt"))
    if options.given("gw-priority"):
        endpoint["GwPriority"] = options.number("gw-priority")
    if any(addresses.values()):
        endpoint["IPAMConfig"] = {k: v for k, v in addresses.items() if v}
    session.engine.post(f"/networks/{network}/connect", {"Container": container, "EndpointConfig": endpoint})
    return None


@command
def disconnect(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network disconnect [OPTIONS] NETWORK CONTAINER

    Disconnect a container from a network

    Options:
      -f, --force   Force the container to disconnect from a network
    """
    network, container = operands
    session.engine.post(f"/networks/{network}/disconnect", {"Container": container, "Force": options.on("force")})
    return None


@command
def inspect(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network inspect [OPTIONS] NETWORK [NETWORK...]

    Display detailed information on one or more networks

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -v, --verbose         Verbose output for diagnostics
    """
    return show_inspected(session, operands, ["network"], options.text("format"))


@command
def prune(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network prune [OPTIONS]

    Remove all unused networks

    Options:
          --filter filter   Provide filter values (e.g. "until=<timestamp>")
      -f, --force           Do not prompt for confirmation
    """
    warning = "WARNING! This will remove all custom networks not used by at least one container."
    if not confirmed(session, options, warning):
        return None
    deleted = session.engine.post("/networks/prune", filters=parse_filters(options.all("filter")))
    names = deleted.get("NetworksDeleted") or []
    return Text("\n".join(["Deleted Networks:", *names])) if names else None
