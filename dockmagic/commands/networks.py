"""docker network …"""

from __future__ import annotations

from dockmagic.commands.containerspec import key_values
from dockmagic.commands.errors import CommandError
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
      -d, --driver string        Driver to manage the Network (default "bridge")
          --gateway strings      IPv4 or IPv6 Gateway for the master subnet
          --internal             Restrict external access to the network
          --ipam-driver string   IP Address Management Driver (default "default")
          --ipam-opt map         Set IPAM driver specific options (default map[])
          --ipv6                 Enable or disable IPv6 address assignment
          --label list           Set metadata on a network
      -o, --opt map              Set driver specific options (default map[])
          --subnet strings       Subnet in CIDR format that represents a network segment
    """
    subnets, gateways = options.all("subnet"), options.all("gateway")
    if len(gateways) > len(subnets):
        raise CommandError("every gateway must have a corresponding subnet")
    pools = [{"Subnet": s, **({"Gateway": gateways[i]} if i < len(gateways) else {})} for i, s in enumerate(subnets)]
    body = {
        "Name": operands[0],
        "Driver": options.text("driver") or "bridge",
        "CheckDuplicate": True,
        "Attachable": options.on("attachable"),
        "Internal": options.on("internal"),
        "EnableIPv6": options.on("ipv6"),
        "Options": key_values(options.all("opt")),
        "Labels": key_values(options.all("label")),
        "IPAM": {
            "Driver": options.text("ipam-driver") or "default",
            "Options": key_values(options.all("ipam-opt")),
            "Config": pools,
        },
    }
    answer = session.engine.post("/networks/create", body)
    if answer.get("Warning"):
        session.console.note(f"WARNING: {answer['Warning']}")
    return Text(answer["Id"])


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
        session.engine.delete(f"/networks/{name}")
        return name

    return each(session, operands, remove)


@command
def connect(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker network connect [OPTIONS] NETWORK CONTAINER

    Connect a container to a network

    Options:
          --alias strings           Add network-scoped alias for the container
          --ip string               IPv4 address (e.g., "172.30.100.104")
          --ip6 string              IPv6 address (e.g., "2001:db8::33")
    """
    network, container = operands
    addresses = {"IPv4Address": options.text("ip"), "IPv6Address": options.text("ip6")}
    endpoint: dict[str, object] = {"Aliases": options.all("alias")}
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
