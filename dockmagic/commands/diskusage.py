"""docker system df: what the images, containers, volumes and the build cache take, in sums or one by one."""

from __future__ import annotations

import time
from typing import Any

from dockmagic.commands.containers import PS, container_row
from dockmagic.commands.flags import Options
from dockmagic.commands.images import IMAGES, image_rows
from dockmagic.commands.listing import Listing, Row, run_template, unescape
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import parse_time, since, size3, units_size
from dockmagic.commands.volumes import VOLUMES, volume_row
from dockmagic.views.sections import Sections
from dockmagic.views.text import Text
from dockmagic.views.view import View

DF = Listing(
    "*formatter.diskUsageContext",
    {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"},
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
    key="Type",
)
CACHE = Listing(
    "*formatter.buildCacheContext",
    {
        "ID": "CACHE ID", "Parent": "PARENT", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED",
        "LastUsedSince": "LAST USED", "UsageCount": "USAGE", "Shared": "SHARED", "Description": "DESCRIPTION",
        "InUse": "IN USE",
    },
    ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"),
)  # fmt: skip


@command
def df(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker system df [OPTIONS]

    Show docker disk usage

    Options:
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -v, --verbose         Show detailed information on space usage
    """
    found = session.engine.get("/system/df")
    if options.on("verbose"):
        return _one_by_one(found, options.text("format"))
    return DF.show(_sums(found), options.text("format"))


def _sums(found: dict[str, Any]) -> list[Row]:
    images, containers = found.get("Images") or [], found.get("Containers") or []
    volumes, cache = found.get("Volumes") or [], found.get("BuildCache") or []
    total = int(found.get("LayersSize") or 0)
    used = [i for i in images if i.get("Containers", 0) > 0]
    kept = sum(i["Size"] - max(i.get("SharedSize", 0), 0) for i in used if i["Size"] != -1)
    stopped = [c for c in containers if c.get("State") not in {"running", "paused", "restarting"}]
    sizes = [(v.get("UsageData") or {}) for v in volumes]
    free = [v for v in sizes if v.get("RefCount", 0) == 0]
    idle = sum(b.get("Size", 0) for b in cache if not b.get("InUse") and not b.get("Shared"))
    return [
        _sum("Images", len(images), len(used), total, total - kept),
        _sum("Containers", len(containers), len(containers) - len(stopped),
             sum(c.get("SizeRw") or 0 for c in containers), sum(c.get("SizeRw") or 0 for c in stopped)),
        _sum("Local Volumes", len(volumes), len(volumes) - len(free),
             sum(max(v.get("Size", 0), 0) for v in sizes), sum(max(v.get("Size", 0), 0) for v in free)),
        _sum("Build Cache", len(cache), sum(1 for b in cache if b.get("InUse")), _cache_size(cache), idle,
             percent=False),
    ]  # fmt: skip


def _sum(name: str, total: int, active: int, size: int, free: int, *, percent: bool = True) -> Row:
    share = f" ({free * 100 // size}%)" if percent and size > 0 else ""
    return {
        "Type": name,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": units_size(size),
        "Reclaimable": f"{units_size(free)}{share}",
    }


def _cache_size(cache: list[dict[str, Any]]) -> int:
    return sum(b.get("Size", 0) for b in cache if not b.get("Shared"))


def _one_by_one(found: dict[str, Any], form: str) -> View:
    now = time.time()
    cache = found.get("BuildCache") or []
    table = not form or form.startswith("table")
    images = [row for image in found.get("Images") or [] for row in _usage_of(image, now, trunc=table)]
    containers = [container_row({**c, "SizeRootFs": 0}, now, trunc=table) for c in found.get("Containers") or []]
    volumes = [volume_row(v) for v in found.get("Volumes") or []]
    caches = [_cache_row(b, now, trunc=table) for b in cache]
    rows = {"Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": caches}
    if not table:
        plain = {name: [_public(row) for row in part] for name, part in rows.items()}
        source = "{{json .}}" if form == "json" else unescape(form)
        return Text(run_template(source, plain))
    image_columns = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
    container_columns = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    return Sections(
        [
            ("Images space usage:", IMAGES.show(images, columns=image_columns)),
            ("Containers space usage:", PS.show(containers, columns=container_columns)),
            ("Local Volumes space usage:", VOLUMES.show(volumes, columns=("Name", "Links", "Size"))),
            (f"Build cache usage: {units_size(_cache_size(cache))}", CACHE.show(caches)),
        ]
    )


def _public(row: Row) -> Row:
    return {key: value for key, value in sorted(row.items()) if not callable(value)}


def _usage_of(image: dict[str, Any], now: float, *, trunc: bool) -> list[Row]:
    shared = max(image.get("SharedSize", 0), 0)
    own = {"Digest": "", "UniqueSize": units_size(image["Size"] - shared), "SharedSize": units_size(shared)}
    return [{**row, **own} for row in image_rows(image, now, trunc=trunc, digests=False)]


def _cache_row(entry: dict[str, Any], now: float, *, trunc: bool) -> Row:
    parents = entry.get("Parents") or ([entry["Parent"]] if entry.get("Parent") else [])
    created, used = entry["CreatedAt"], entry.get("LastUsedAt")
    return {
        "ID": entry["ID"][:12] if trunc else entry["ID"],
        "Parent": ", ".join(parents),
        "CacheType": entry.get("Type", ""),
        "Description": entry.get("Description", ""),
        "Size": size3(entry.get("Size", 0)),
        "CreatedAt": _go_time(created),
        "CreatedSince": since(parse_time(created).timestamp(), now),
        "LastUsedAt": _go_time(used) if used else "",
        "LastUsedSince": since(parse_time(used).timestamp(), now) if used else "",
        "UsageCount": str(entry.get("UsageCount", 0)),
        "InUse": str(bool(entry.get("InUse"))).lower(),
        "Shared": str(bool(entry.get("Shared"))).lower(),
    }


def _go_time(text: str) -> str:
    """``2026-11-24 14:46:19.12 +0000 UTC``: Go's time.String of an RFC 3339 time in UTC."""
    return text.replace("T", " ").replace("Z", " +0000 UTC")
