"""docker stats: one sample of a container's use of CPU, memory, network and disk (docker CLI, stats_helpers.go)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dockmagic.commands.api import Engine
from dockmagic.commands.errors import EngineError
from dockmagic.commands.listing import Listing, Row
from dockmagic.commands.values import units_size

STATS = Listing(
    "*container.StatsContext",
    {
        "ID": "CONTAINER ID", "Container": "CONTAINER", "Name": "NAME", "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
    ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"),
)  # fmt: skip


def samples(engine: Engine, names: Sequence[str], trunc: bool, *, gone_is_error: bool) -> list[Row]:
    """The rows of several containers, asked for at once: an engine takes a second or two for each.

    A container that has gone meanwhile has no row, or is an error.
    """

    def one(name: str) -> Row | None:
        try:
            return sample(engine, name, trunc)
        except EngineError as error:
            if gone_is_error or error.status != 404:
                raise
            return None

    with ThreadPoolExecutor(max(1, min(8, len(names)))) as pool:
        return [row for row in pool.map(one, names) if row is not None]


def percents(row: Row) -> tuple[float, float]:
    """(CPU %, memory %) of a row."""
    return float(row["CPUPerc"].rstrip("%")), float(row["MemPerc"].rstrip("%"))


def sample(engine: Engine, name: str, trunc: bool) -> Row:
    """The row of one container."""
    s = engine.get(f"/containers/{name}/stats", stream=False)
    identity = str(s.get("id") or name)
    used, limit = _memory(s.get("memory_stats") or {})
    received = sum(n.get("rx_bytes", 0) for n in (s.get("networks") or {}).values())
    sent = sum(n.get("tx_bytes", 0) for n in (s.get("networks") or {}).values())
    read, written = _block(s.get("blkio_stats") or {})
    percent = used / limit * 100 if limit else 0.0
    return {
        "ID": identity[:12] if trunc else identity,
        "Container": name[:12] if trunc and identity.startswith(name) else name,
        "Name": str(s.get("name", "")).removeprefix("/"),
        "CPUPerc": f"{_cpu(s):.2f}%",
        "MemUsage": f"{units_size(used, 1024.0)} / {units_size(limit, 1024.0)}",
        "MemPerc": f"{percent:.2f}%",
        "NetIO": f"{units_size(received, digits=3)} / {units_size(sent, digits=3)}",
        "BlockIO": f"{units_size(read, digits=3)} / {units_size(written, digits=3)}",
        "PIDs": str((s.get("pids_stats") or {}).get("current", 0)),
    }


def _cpu(s: dict[str, Any]) -> float:
    now, before = s.get("cpu_stats") or {}, s.get("precpu_stats") or {}
    used = now.get("cpu_usage", {}).get("total_usage", 0) - before.get("cpu_usage", {}).get("total_usage", 0)
    system = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    count = now.get("online_cpus") or len(now.get("cpu_usage", {}).get("percpu_usage") or []) or 1
    return float(used) / system * count * 100 if system > 0 and used > 0 else 0.0


def _memory(m: dict[str, Any]) -> tuple[float, float]:
    detail = m.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    usage = m.get("usage", 0)
    return float(usage - cache if cache < usage else usage), float(m.get("limit", 0))


def _block(b: dict[str, Any]) -> tuple[int, int]:
    entries = b.get("io_service_bytes_recursive") or []
    read = sum(e["value"] for e in entries if e["op"][:1].lower() == "r")
    return read, sum(e["value"] for e in entries if e["op"][:1].lower() == "w")
