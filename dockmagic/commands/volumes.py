"""docker volume …"""

from __future__ import annotations

from typing import Any

from dockmagic.commands.containerspec import key_values
from dockmagic.commands.errors import EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.inspecting import show_inspected
from dockmagic.commands.lifecycle import confirmed, each, reclaimed
from dockmagic.commands.listing import Listing, Row, parse_filters
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import units_size
from dockmagic.views.text import Text
from dockmagic.views.view import View

VOLUMES = Listing(
    "*formatter.volumeContext",
    {
        "Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS",
        "Links": "LINKS", "Size": "SIZE", "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
    },
    ("Driver", "Name"),
    key="Name",
)  # fmt: skip


@command
def ls(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker volume ls [OPTIONS]

    List volumes

    Aliases:
      docker volume ls, docker volume list

    Options:
      -f, --filter filter   Provide filter values (e.g. "dangling=true")
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -q, --quiet           Only display volume names
    """
    found = session.engine.get("/volumes", filters=parse_filters(options.all("filter"))).get("Volumes") or []
    rows = [volume_row(v) for v in sorted(found, key=lambda v: str(v["Name"]))]
    return VOLUMES.show(rows, options.text("format"), quiet=options.on("quiet"))


def volume_row(v: dict[str, Any]) -> Row:
    """The fields of a volume as docker volume ls has them; its use is known only to docker system df."""
    labels, usage = v.get("Labels") or {}, v.get("UsageData")
    return {
        "Driver": v["Driver"],
        "Name": v["Name"],
        "Scope": v.get("Scope", ""),
        "Mountpoint": v.get("Mountpoint", ""),
        "Labels": ",".join(f"{k}={x}" for k, x in sorted(labels.items())),
        "Label": labels.get,
        "Links": str(usage["RefCount"]) if usage else "N/A",
        "Size": units_size(usage["Size"]) if usage else "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    }


@command
def create(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker volume create [OPTIONS] [VOLUME]

    Create a volume

    Options:
      -d, --driver string   Specify volume driver name (default "local")
          --label list      Set metadata for a volume
      -o, --opt map         Set driver specific options (default map[])
    """
    body = {
        "Name": operands[0] if operands else "",
        "Driver": options.text("driver") or "local",
        "DriverOpts": key_values(options.all("opt")),
        "Labels": key_values(options.all("label")),
    }
    return Text(session.engine.post("/volumes/create", body)["Name"])


@command
def rm(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker volume rm [OPTIONS] VOLUME [VOLUME...]

    Remove one or more volumes. You cannot remove a volume that is in use by a container.

    Aliases:
      docker volume rm, docker volume remove

    Options:
      -f, --force   Force the removal of one or more volumes
    """
    force = options.on("force")

    def remove(name: str) -> str:
        try:
            session.engine.delete(f"/volumes/{name}", force=force or None)
        except EngineError as error:
            if not (force and error.status == 404):
                raise
        return name

    return each(session, operands, remove)


@command
def inspect(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker volume inspect [OPTIONS] VOLUME [VOLUME...]

    Display detailed information on one or more volumes

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
    """
    return show_inspected(session, operands, ["volume"], options.text("format"))


@command
def prune(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker volume prune [OPTIONS]

    Remove unused local volumes

    Options:
      -a, --all             Remove all unused volumes, not just anonymous ones
          --filter filter   Provide filter values (e.g. "label=<label>")
      -f, --force           Do not prompt for confirmation
    """
    every = options.on("all")
    what = "local volumes" if every else "anonymous local volumes"
    if not confirmed(session, options, f"WARNING! This will remove all {what} not used by at least one container."):
        return None
    filters = parse_filters(options.all("filter")) or {}
    if every:
        filters["all"] = ["true"]
    answer = session.engine.post("/volumes/prune", filters=filters or None)
    return reclaimed(answer, "Deleted Volumes:", answer.get("VolumesDeleted") or [])
