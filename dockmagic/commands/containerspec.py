"""``docker run``'s flags as the body of ``POST /containers/create`` (docker CLI, container/opts.go)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from dockmagic.commands import checked
from dockmagic.commands.errors import CommandError, FlagError
from dockmagic.commands.flags import Options
from dockmagic.commands.mounts import add_volumes, mount
from dockmagic.commands.ports import expose, publish
from dockmagic.commands.usage import Usage
from dockmagic.commands.values import parse_bytes, parse_duration, parse_nano_cpus

Body = dict[str, Any]


def create_body(usage: Usage, options: Options, image: str, command: list[str]) -> Body:
    """The request's body. Raises CommandError with docker's words for a value that is none."""
    try:
        return _body(options, image, command)
    except ValueError as error:
        raise CommandError(
            f"docker: {error}\n\nRun 'docker {usage.path[-1]} --help' for more information", 125
        ) from None
    except FlagError:
        raise


def _body(options: Options, image: str, command: list[str]) -> Body:
    interactive, tty = options.on("interactive"), options.on("tty")
    attached = options.each("attach", checked.attach)
    body: Body = {
        "Image": image,
        "Cmd": command or None,
        "Env": environment(options.all("env-file"), options.each("env", checked.env)),
        "Labels": {
            **key_values(_labels(options.all("label-file"))),
            **key_values(options.each("label", checked.label)),
        },
        "Hostname": options.text("hostname"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        "WorkingDir": options.text("workdir"),
        "Tty": tty,
        "OpenStdin": interactive,
        "StdinOnce": interactive,
        "AttachStdin": "stdin" in attached if attached else interactive,
        "AttachStdout": "stdout" in attached if attached else True,
        "AttachStderr": "stderr" in attached if attached else True,
        "MacAddress": options.text("mac-address") or None,
        "StopSignal": options.text("stop-signal") or None,
    }
    if options.given("entrypoint"):
        body["Entrypoint"] = [options.text("entrypoint")]
    if options.given("stop-timeout"):
        body["StopTimeout"] = options.number("stop-timeout")
    health = _health(options)
    if health:
        body["Healthcheck"] = health
    host = _host(options)
    body["HostConfig"] = host
    exposed, bindings = publish(options.all("publish"))
    for port in expose(options.all("expose")):
        exposed.setdefault(port, {})
    body["ExposedPorts"] = exposed or None
    host["PortBindings"] = bindings
    add_volumes(options.all("volume"), body)
    networks = _networks(options, host)
    if networks:
        body["NetworkingConfig"] = {"EndpointsConfig": networks}
    return {k: v for k, v in body.items() if v is not None}


def _host(options: Options) -> Body:
    if options.on("rm") and options.text("restart") not in {"", "no"}:
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    host: Body = {
        "AutoRemove": options.on("rm"),
        "CapAdd": options.all("cap-add"),
        "CapDrop": options.all("cap-drop"),
        "CgroupParent": options.text("cgroup-parent"),
        "CgroupnsMode": _mode(options, "cgroupns", "CGROUP", "private"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuShares": options.number("cpu-shares"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "BlkioWeight": options.number("blkio-weight"),
        "BlkioWeightDevice": options.each("blkio-weight-device", checked.weight_device),
        "BlkioDeviceReadBps": options.each("device-read-bps", checked.bytes_rate),
        "BlkioDeviceWriteBps": options.each("device-write-bps", checked.bytes_rate),
        "BlkioDeviceReadIOps": options.each("device-read-iops", checked.operations_rate),
        "BlkioDeviceWriteIOps": options.each("device-write-iops", checked.operations_rate),
        "CpuRealtimePeriod": options.number("cpu-rt-period"),
        "CpuRealtimeRuntime": options.number("cpu-rt-runtime"),
        "Isolation": options.text("isolation"),
        "KernelMemory": options.size("kernel-memory"),
        "StorageOpt": key_values(options.all("storage-opt")),
        "VolumeDriver": options.text("volume-driver"),
        "Devices": [checked.device(d) for d in options.all("device")],
        "DeviceCgroupRules": options.all("device-cgroup-rule"),
        "Dns": options.each("dns", checked.dns),
        "DnsOptions": options.all("dns-option"),
        "DnsSearch": options.each("dns-search", checked.dns_search),
        "ExtraHosts": options.each("add-host", checked.extra_host),
        "GroupAdd": options.all("group-add"),
        "IpcMode": options.text("ipc"),
        "Links": options.each("link", checked.link),
        "LogConfig": {"Type": options.text("log-driver"), "Config": key_values(options.all("log-opt"))},
        "Memory": options.size("memory"),
        "MemoryReservation": options.size("memory-reservation"),
        "MemorySwap": options.size("memory-swap"),
        "Mounts": options.each("mount", mount),
        "OomKillDisable": options.on("oom-kill-disable"),
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidMode": _mode(options, "pid", "PID", "container:"),
        "Privileged": options.on("privileged"),
        "PublishAllPorts": options.on("publish-all"),
        "ReadonlyRootfs": options.on("read-only"),
        "RestartPolicy": restart_policy(options.text("restart")),
        "SecurityOpt": security(options.all("security-opt")),
        "DeviceRequests": options.each("gpus", checked.gpus),
        "ShmSize": options.size("shm-size"),
        "Sysctls": key_values(options.each("sysctl", checked.sysctl)),
        "Tmpfs": _tmpfs(options.all("tmpfs")),
        "Ulimits": options.each("ulimit", checked.ulimit),
        "UsernsMode": _mode(options, "userns", "USER"),
        "UTSMode": _mode(options, "uts", "UTS"),
        "VolumesFrom": options.all("volumes-from"),
    }
    if SYSTEM_PATHS in options.all("security-opt"):
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    if options.given("cpus"):
        host["NanoCpus"] = options.each("cpus", parse_nano_cpus)[-1]
    if options.given("init"):
        host["Init"] = options.on("init")
    if options.given("pids-limit"):
        host["PidsLimit"] = options.number("pids-limit")
    if options.given("memory-swappiness"):
        host["MemorySwappiness"] = options.number("memory-swappiness")
    if options.given("runtime"):
        host["Runtime"] = options.text("runtime")
    return host


def environment(files: list[str], given: list[str]) -> list[str]:
    """``--env-file`` and ``-e``: a name without a value takes this process's, and is left out when it has none."""
    pairs: list[str] = []
    for name in files:
        for line in _lines(name):
            key, equals, value = line.lstrip().partition("=")
            if re.search(r"\s", key):
                raise ValueError(f"invalid env file ({name}): variable '{key}' contains whitespaces")
            if not key:
                raise ValueError(f"invalid env file ({name}): no variable name on line '{line}'")
            pairs.append(f"{key}={value}" if equals else key)
    out = []
    for pair in pairs + given:
        if "=" in pair:
            out.append(pair)
        elif pair in os.environ:
            out.append(f"{pair}={os.environ[pair]}")
    return out


def _labels(files: list[str]) -> list[str]:
    """``--label-file``: a label a line."""
    return [line.lstrip() for name in files for line in _lines(name)]


def _lines(name: str) -> list[str]:
    """The lines of a file that say something: neither empty nor comments."""
    try:
        lines = Path(name).read_text("utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"open {name}: {(error.strerror or str(error)).lower()}") from None
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _mode(options: Options, flag: str, kind: str, *more: str) -> str:
    """A namespace's mode: none, ``host``, or one of ``more`` (its beginning, when that ends with a colon)."""
    text = options.text(flag)
    if text in {"", "host", *more} or any(m.endswith(":") and text.startswith(m) and text != m for m in more):
        return text
    raise ValueError(f"--{flag}: invalid {kind} mode")


SYSTEM_PATHS = "systempaths=unconfined"


def security(given: list[str]) -> list[str]:
    """``--security-opt`` as the API has it: a seccomp profile is sent by its text (docker CLI, parseSecurityOpts)."""
    out = []
    for option in given:
        if option == SYSTEM_PATHS:
            continue
        name, equals, value = option.partition("=" if "=" in option else ":")
        if not equals and name != "no-new-privileges":
            raise ValueError(f'Invalid --security-opt: "{option}"')
        if name == "seccomp" and value not in {"unconfined", "builtin"}:
            try:
                profile = Path(value).read_text("utf-8")
                option = f"seccomp={json.dumps(json.loads(profile), separators=(',', ':'))}"
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise ValueError(f"opening seccomp profile ({value}) failed: open {value}: {reason}") from None
            except ValueError as error:
                raise ValueError(f"compacting json for seccomp profile ({value}) failed: {error}") from None
        out.append(option)
    return out


def key_values(given: list[str]) -> dict[str, str]:
    """``--label a=b``; without a value it is empty."""
    return {k: v for k, _, v in (item.partition("=") for item in given)}


def restart_policy(text: str) -> Body:
    """``on-failure:3``."""
    name, colon, count = (text or "no").partition(":")
    if colon and not count.isdigit():
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _tmpfs(given: list[str]) -> dict[str, str]:
    return {path: rest for path, _, rest in (item.partition(":") for item in given)}


def _health(options: Options) -> Body:
    durations = {
        "Interval": "health-interval",
        "Timeout": "health-timeout",
        "StartPeriod": "health-start-period",
    }
    given = [n for n in (*durations.values(), "health-cmd", "health-retries") if options.given(n)]
    if options.on("no-healthcheck"):
        if given:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    health: Body = {}
    if options.given("health-cmd"):
        health["Test"] = ["CMD-SHELL", options.text("health-cmd")]
    for field, name in durations.items():
        if options.given(name):
            health[field] = round(parse_duration(options.text(name)) * 1e9)
    if options.given("health-retries"):
        health["Retries"] = options.number("health-retries")
    return health


def _networks(options: Options, host: Body) -> Body:
    """``--network`` as NetworkMode and endpoints; the long form is name=…,alias=…,ip=…."""
    endpoints: Body = {}
    for text in options.all("network"):
        endpoint: Body = {}
        name = text
        if "=" in text:
            pairs = [p.partition("=") for p in text.split(",")]
            values = [(k.strip().lower(), v.strip()) for k, _, v in pairs]
            name = dict(values).get("name", "")
            if not name:
                raise ValueError(f"network name or ID is missing: {text}")
            endpoint["Aliases"] = [v for k, v in values if k == "alias"]
            endpoint["IPAMConfig"] = _addresses(dict(values).get("ip", ""), dict(values).get("ip6", ""))
        endpoints[name] = {k: v for k, v in endpoint.items() if v}
    first = next(iter(endpoints), "default")
    host["NetworkMode"] = first
    own = endpoints.get(first, {})
    if options.all("network-alias"):
        own["Aliases"] = options.all("network-alias")
    if options.given("ip") or options.given("ip6"):
        own["IPAMConfig"] = _addresses(options.text("ip"), options.text("ip6"))
    if options.all("link-local-ip"):
        own.setdefault("IPAMConfig", {})["LinkLocalIPs"] = options.all("link-local-ip")
    shared = first.startswith("container:") or first in {"default", "host", "none", "bridge"}
    if shared and not own and len(endpoints) < 2:
        return {}
    return {**endpoints, first: own}


def _addresses(ip4: str, ip6: str) -> Body:
    return {k: v for k, v in (("IPv4Address", ip4), ("IPv6Address", ip6)) if v}


def update_body(options: Options) -> Body:
    """``docker update``'s flags: only what was given."""
    numbers = {
        "blkio-weight": "BlkioWeight", "cpu-period": "CpuPeriod", "cpu-quota": "CpuQuota", "cpu-shares": "CpuShares",
        "cpu-rt-period": "CpuRealtimePeriod", "cpu-rt-runtime": "CpuRealtimeRuntime", "pids-limit": "PidsLimit",
    }  # fmt: skip
    texts = {"cpuset-cpus": "CpusetCpus", "cpuset-mems": "CpusetMems"}
    sizes = {"memory": "Memory", "memory-reservation": "MemoryReservation", "memory-swap": "MemorySwap"}
    body: Body = {field: options.number(name) for name, field in numbers.items() if options.given(name)}
    body |= {field: options.text(name) for name, field in texts.items() if options.given(name)}
    body |= {field: parse_bytes(options.text(name)) for name, field in sizes.items() if options.given(name)}
    if options.given("cpus"):
        body["NanoCpus"] = parse_nano_cpus(options.text("cpus"))
    if options.given("restart"):
        body["RestartPolicy"] = restart_policy(options.text("restart"))
    return body
