"""A create request's HostConfig: defaults, checks with moby's words, in the API's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dockmagic.engine.services.containers import resources
from dockmagic.engine.services.containers.config import folded, go_kind
from dockmagic.errors import InvalidParameter
from dockmagic.runtime.spec import MASKED_PATHS, READONLY_PATHS

DEFAULTS: dict[str, Any] = {
    "Binds": None, "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {}}, "NetworkMode": "default",
    "PortBindings": None, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False,
    "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [0, 0], "Annotations": None, "CapAdd": None,
    "CapDrop": None, "CgroupnsMode": "private", "Dns": None, "DnsOptions": None, "DnsSearch": None, "ExtraHosts": None,
    "GroupAdd": None, "IpcMode": "private", "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "",
    "Privileged": False, "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None, "StorageOpt": None,
    "Tmpfs": None, "UTSMode": "", "UsernsMode": "", "ShmSize": 67108864, "Sysctls": None, "Runtime": "runc",
    "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0,
    "BlkioWeightDevice": None, "BlkioDeviceReadBps": None, "BlkioDeviceWriteBps": None, "BlkioDeviceReadIOps": None,
    "BlkioDeviceWriteIOps": None, "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
    "CpusetCpus": "", "CpusetMems": "", "Devices": None, "DeviceCgroupRules": None, "DeviceRequests": None,
    "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": None, "OomKillDisable": None, "PidsLimit": None,
    "Ulimits": None, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "Mounts": None,
    "Init": None, "MaskedPaths": None, "ReadonlyPaths": None,
}  # fmt: skip
_DEFAULTS_TEXT = json.dumps(DEFAULTS)
"""Decoding it is ten times as quick as a deep copy."""
_OPTIONAL = {"Annotations", "StorageOpt", "Tmpfs", "Sysctls", "Mounts", "Init"}
_NULLABLE = {
    "Init": bool, "MemorySwappiness": int, "OomKillDisable": bool, "PidsLimit": int, "Tmpfs": dict, "Sysctls": dict,
    "StorageOpt": dict, "Annotations": dict, "PortBindings": dict,
}  # fmt: skip
_LOG_DRIVERS = {"json-file", "local", "none"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


def completed(asked: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """The whole HostConfig and the warnings that go with it. Raises InvalidParameter."""
    config: dict[str, Any] = json.loads(_DEFAULTS_TEXT)
    for name, value in folded(asked or {}, DEFAULTS).items():
        if name in config and value is not None:
            config[name] = _typed(name, value)
    for name, default in (("NetworkMode", "default"), ("IpcMode", "private"), ("CgroupnsMode", "private")):
        config[name] = config[name] or default
    config["Runtime"] = config["Runtime"] or "runc"
    config["ShmSize"] = config["ShmSize"] or DEFAULTS["ShmSize"]
    if config["ShmSize"] < 0:
        raise InvalidParameter("SHM size can not be less than 0")
    if config["Privileged"]:
        config["MaskedPaths"], config["ReadonlyPaths"] = [], []
    for name, paths in (("MaskedPaths", MASKED_PATHS), ("ReadonlyPaths", READONLY_PATHS)):
        if config[name] is None:
            config[name] = list(paths)
    warnings: list[str] = []
    _check_restart(config)
    _check_log(config)
    resources.check(config, warnings)
    _check_namespaces(config)
    _check_security(config)
    _check_ports(config, warnings)
    return config, warnings


def shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """The HostConfig as answers show it."""
    return {name: value for name, value in config.items() if value is not None or name not in _OPTIONAL}


def log_limits(log: Mapping[str, Any]) -> tuple[int, int]:
    """(bytes, files) of a json-file log; 0 bytes: no rotation."""
    options = log.get("Config") or {}
    size = parse_size(options["max-size"]) if options.get("max-size") else 0
    return size, int(options.get("max-file") or 1)


def parse_size(text: str) -> int:
    """Bytes of ``10m``, ``1GB``, ``512``. Raises InvalidParameter."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise InvalidParameter(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def _typed(name: str, value: Any) -> Any:
    default: Any = DEFAULTS[name]
    wanted: Any = _NULLABLE.get(name) or (list if default is None else type(default))
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise InvalidParameter(
            f"invalid JSON: json: cannot unmarshal {go_kind(value)} into Go struct field HostConfig.{name}"
        )
    return {**default, **value} if name in {"LogConfig", "RestartPolicy"} else value


def _check_restart(config: dict[str, Any]) -> None:
    policy = config["RestartPolicy"]
    policy["Name"] = policy["Name"] or "no"
    count = policy.get("MaximumRetryCount") or 0
    if policy["Name"] not in {"no", "always", "unless-stopped", "on-failure"}:
        raise InvalidParameter(
            f"invalid restart policy: unknown policy '{policy['Name']}'; use one of 'no', 'always', 'on-failure', or "
            "'unless-stopped'"
        )
    if count and policy["Name"] != "on-failure":
        raise InvalidParameter(
            f"invalid restart policy: maximum retry count can only be used with 'on-failure'"
            f"{' and cannot be negative' if count < 0 else ''}"
        )
    if count < 0:
        raise InvalidParameter("invalid restart policy: maximum retry count cannot be negative")
    if config["AutoRemove"] and policy["Name"] != "no":
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")


def _check_log(config: dict[str, Any]) -> None:
    log = config["LogConfig"]
    log["Type"] = log["Type"] or "json-file"
    log["Config"] = log["Config"] or {}
    if log["Type"] not in _LOG_DRIVERS:
        kind = log["Type"]
        raise InvalidParameter(f'error looking up logging plugin {kind}: plugin "{kind}" not found')
    if log["Type"] == "none":
        return
    known = {"max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode"}
    for name in log["Config"]:
        if name not in known | {"max-buffer-size"}:
            raise InvalidParameter(f"unknown log opt '{name}' for {log['Type']} log driver")
    log_limits(log)


def _check_namespaces(config: dict[str, Any]) -> None:
    ipc = config["IpcMode"]
    if ipc not in {"private", "shareable", "host", "none"} and not re.fullmatch(r"container:.+", ipc):
        raise InvalidParameter(f"invalid IPC mode: {ipc}")
    if config["PidMode"] not in {"", "host"} and not re.fullmatch(r"container:.+", config["PidMode"]):
        raise InvalidParameter(f"invalid PID mode: {config['PidMode']}")
    if config["UTSMode"] not in {"", "host"}:
        raise InvalidParameter(f"invalid UTS mode: {config['UTSMode']}")
    if config["UsernsMode"] not in {"", "host"}:
        raise InvalidParameter(f"invalid user namespace mode: {config['UsernsMode']}")
    if config["Isolation"] not in {"", "default"}:
        raise InvalidParameter(f"Invalid isolation: \"{config['Isolation']}\" - linux only supports 'default'")
    if config["CgroupnsMode"] not in {"private", "host"}:
        raise InvalidParameter(f"invalid cgroup namespace mode: {config['CgroupnsMode']}")
    if config["Runtime"] not in {"dockmagic", "runc", "io.containerd.runc.v2"}:
        raise InvalidParameter(f"unknown or invalid runtime name: {config['Runtime']}")
    for host in config["ExtraHosts"] or ():
        if ":" not in host and "=" not in host:
            raise InvalidParameter(f'bad format for add-host: "{host}"')


def _check_security(config: dict[str, Any]) -> None:
    from dockmagic.engine.services.containers.capabilities import checked

    for name in ("CapAdd", "CapDrop"):
        checked(config[name] or (), name)
    for option in config["SecurityOpt"] or ():
        if option == "no-new-privileges":
            continue
        name, _, value = option.replace("=", ":", 1).partition(":")
        if not value:
            raise InvalidParameter(f'invalid --security-opt 1: "{option}"')
        if name not in {"label", "apparmor", "seccomp", "no-new-privileges", "systempaths", "writable-cgroups"}:
            raise InvalidParameter(f'invalid --security-opt 2: "{option}"')


def _check_ports(config: dict[str, Any], warnings: list[str]) -> None:
    for port, bindings in (config["PortBindings"] or {}).items():
        number, _, protocol = port.partition("/")
        if not number.isdecimal() or not 0 < int(number) < 65536 or protocol not in {"", "tcp", "udp", "sctp"}:
            raise InvalidParameter(f'invalid port specification: "{port}"')
        for binding in bindings or ():
            low, _, high = str(binding.get("HostPort") or "0").partition("-")
            if not low.isdecimal() or (high and not high.isdecimal()):
                raise InvalidParameter(f'invalid port specification: "{binding.get("HostPort")}"')
    if config["NetworkMode"] == "host" and (config["PortBindings"] or config["PublishAllPorts"]):
        warnings.append("Published ports are discarded when using host network mode")
