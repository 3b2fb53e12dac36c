"""A HostConfig's limits: checked with moby's words (daemon/daemon_unix.go), and what of them a tier can't keep."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dockmagic.errors import InvalidParameter
from dockmagic.runtime.protocols import Capability

_MINIMUM_MEMORY = 6 * 1024 * 1024  # linuxMinMemory
_NEVER_KEPT = {
    "MemoryReservation": ("memory soft limit capabilities", "Limitation discarded"),
    "MemorySwappiness": ("memory swappiness capabilities", "Memory swappiness discarded"),
    "BlkioWeight": ("Block I/O weight", "Weight discarded"),
    "BlkioWeightDevice": ("Block I/O weight_device", "Weight-device discarded"),
    "BlkioDeviceReadBps": ("BPS Block I/O read limit", "Block I/O BPS read limit discarded"),
    "BlkioDeviceWriteBps": ("BPS Block I/O write limit", "Block I/O BPS write limit discarded"),
    "BlkioDeviceReadIOps": ("IOPS Block read limit", "Block I/O IOPS read limit discarded"),
    "BlkioDeviceWriteIOps": ("IOPS Block write limit", "Block I/O IOPS write limit discarded"),
    "CpuRealtimePeriod": ("CPU real-time scheduler", "Real-time period discarded"),
    "CpuRealtimeRuntime": ("CPU real-time scheduler", "Real-time runtime discarded"),
    "CpusetMems": ("cpuset for memory nodes", "Cpuset discarded"),
}
_BY_CGROUPS = {
    "Memory": ("memory limit capabilities", "Limitation discarded"),
    "NanoCpus": ("CPU CFS scheduler", "CPU limit discarded"),
    "CpuQuota": ("CPU CFS quota", "CPU quota discarded"),
    "CpuShares": ("CPU shares", "Shares discarded"),
    "CpusetCpus": ("cpuset", "Cpuset discarded"),
    "PidsLimit": ("PIDs limit capabilities", "PIDs limit discarded"),
}


def check(config: dict[str, Any], warnings: list[str]) -> None:
    """Complete the limits and add warnings. Raises InvalidParameter."""
    memory, swap = config["Memory"], config["MemorySwap"]
    if 0 < memory < _MINIMUM_MEMORY or memory < 0:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    if memory and swap > 0 and swap < memory:
        raise InvalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage")
    if not memory and swap > 0:
        raise InvalidParameter("You should always set the Memory limit when using Memoryswap limit, see usage")
    if memory and not swap:
        config["MemorySwap"] = memory * 2
    swappiness = config["MemorySwappiness"]
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidParameter(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if config["MemoryReservation"] and memory and memory < config["MemoryReservation"]:
        raise InvalidParameter("Minimum memory limit can not be less than memory reservation limit, see usage")
    if config["OomKillDisable"] and not memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
            "running out of resources."
        )
    if not -1000 <= config["OomScoreAdj"] <= 1000:
        raise InvalidParameter(f"Invalid value {config['OomScoreAdj']}, range for oom score adj is [-1000, 1000]")
    _check_cpus(config)
    for limit in config["Ulimits"] or ():
        if limit.get("Soft", 0) > limit.get("Hard", 0) >= 0:
            raise InvalidParameter(
                f"ulimit soft limit must be less than or equal to hard limit: {limit['Soft']} > {limit['Hard']}"
            )


def _check_cpus(config: Mapping[str, Any]) -> None:
    if config["NanoCpus"] and (config["CpuPeriod"] or config["CpuQuota"]):
        other = "CPU Period" if config["CpuPeriod"] else "CPU Quota"
        raise InvalidParameter(f"Conflicting options: Nano CPUs and {other} cannot both be set")
    cpus = os.cpu_count() or 1
    if config["NanoCpus"] < 0 or config["NanoCpus"] > cpus * 10**9:
        raise InvalidParameter(f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")
    if config["CpuPeriod"] and not 1000 <= config["CpuPeriod"] <= 1_000_000:
        raise InvalidParameter("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < config["CpuQuota"] < 1000:
        raise InvalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    wanted = _numbers(config["CpusetCpus"], "cpus")
    if wanted and max(wanted) >= cpus:
        there = "0" if cpus == 1 else f"0-{cpus - 1}"
        raise InvalidParameter(
            f"Requested CPUs are not available - requested {config['CpusetCpus']}, available: {there}"
        )
    _numbers(config["CpusetMems"], "mems")


def _numbers(text: str, kind: str) -> set[int]:
    """What a cpuset such as ``0-2,4`` names. Raises InvalidParameter."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise InvalidParameter(f"Invalid value {text} for cpuset {kind}: invalid format: {text}")
        last = int(high) if dash else int(low)
        if last > 8192:
            raise InvalidParameter(f"Invalid value {text} for cpuset {kind}: value out of range, maximum is 8192")
        found.update(range(int(low), last + 1))
    return found


def not_kept(config: Mapping[str, Any], capability: Capability) -> list[str]:
    """One warning for each thing asked for in ``config`` that this tier accepts and can't give."""
    cgroups = next((finding.ok for finding in capability.findings if finding.name == "cgroup limits"), False)
    missing = dict(_NEVER_KEPT)
    if not cgroups:
        missing |= _BY_CGROUPS
    if capability.tier == "tracer":
        missing.pop("Memory", None)  # its tracer adds up what the container uses
    lines = [
        f"Your kernel does not support {what} or the cgroup is not mounted. {consequence}."
        for name, (what, consequence) in missing.items()
        if config[name] not in (None, 0, "", [], -1)
    ]
    if config["OomKillDisable"]:
        lines.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
    if capability.tier == "tracer":
        lines += _traced(config)
    return lines


def _traced(config: Mapping[str, Any]) -> list[str]:
    """What only namespaces could give."""
    lines = []
    if config["Sysctls"]:
        lines.append("The tracer tier has no namespaces: sysctls discarded.")
    if config["Privileged"] or config["CapAdd"]:
        lines.append("The tracer tier can't give more rights than the engine's user has.")
    return lines
