"""docker stats: what a container's processes use, told by /proc (every tier has it)."""

from __future__ import annotations

import os
from typing import Any

from dockmagic.engine import clock
from dockmagic.engine.services.containers.record import Container

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """Reads one container again and again; each reading carries the one before."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._read = clock.ZERO
        self._cpu: dict[str, Any] = _no_cpu()

    def read(self) -> dict[str, Any]:
        """The API's ContainerStatsResponse."""
        process = self._container.process
        pids = process.pids() if process is not None else []
        before, self._read = self._read, clock.now()
        before_cpu, self._cpu = self._cpu, _cpu(pids) if pids else _no_cpu()
        return {
            "id": self._container.id,
            "name": f"/{self._container.name}",
            "read": self._read if pids else clock.ZERO,
            "preread": before,
            "pids_stats": {"current": len(pids)} if pids else {},
            "blkio_stats": _block(pids),
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": self._cpu,
            "precpu_stats": before_cpu,
            "memory_stats": self._memory(pids) if pids else {},
            **({"networks": _networks(pids[0])} if pids and self._own_network() else {}),
        }

    def _own_network(self) -> bool:
        return bool(self._container.record.host_config["NetworkMode"] != "host")

    def _memory(self, pids: list[int]) -> dict[str, Any]:
        resident = 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                    fields = file.read().split()
            except OSError:  # it ended meanwhile
                continue
            resident += (int(fields[1]) - int(fields[2])) * _PAGE  # what it shares is its neighbours' too
        limit = self._container.record.host_config["Memory"] or os.sysconf("SC_PHYS_PAGES") * _PAGE
        return {"usage": resident, "max_usage": resident, "stats": {}, "failcnt": 0, "limit": limit}


def _no_cpu() -> dict[str, Any]:
    usage = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    return {"cpu_usage": usage, "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}}


def _cpu(pids: list[int]) -> dict[str, Any]:
    user = kernel = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        user += int(fields[11]) + int(fields[13])
        kernel += int(fields[12]) + int(fields[14])
    tick = 10**9 // _TICKS
    with open("/proc/stat", encoding="ascii") as file:
        machine = sum(int(value) for value in file.readline().split()[1:9])
    usage = {
        "total_usage": (user + kernel) * tick,
        "usage_in_kernelmode": kernel * tick,
        "usage_in_usermode": user * tick,
    }
    return {**_no_cpu(), "cpu_usage": usage, "system_cpu_usage": machine * tick, "online_cpus": os.cpu_count() or 1}


def _block(pids: list[int]) -> dict[str, Any]:
    read = written = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/io", encoding="ascii") as file:
                values = dict(line.split(": ") for line in file.read().splitlines())
        except (OSError, ValueError):  # it ended meanwhile, or may not be read
            continue
        read += int(values["read_bytes"])
        written += int(values["write_bytes"])
    entries = [{"major": 0, "minor": 0, "op": op, "value": value} for op, value in (("read", read), ("write", written))]
    return {
        "io_service_bytes_recursive": entries if pids else None,
        "io_serviced_recursive": None,
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


def _networks(pid: int) -> dict[str, Any]:
    found = {}
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.readlines()[2:]
    except OSError:  # it ended meanwhile
        return {}
    for line in lines:
        name, _, rest = line.partition(":")
        values = [int(value) for value in rest.split()]
        if name.strip() == "lo":
            continue
        names = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
        sent = ("tx_bytes", "tx_packets", "tx_errors", "tx_dropped")
        found[name.strip()] = dict(zip(names, values[:4], strict=True)) | dict(zip(sent, values[8:12], strict=True))
    return found
