"""``docker run``'s flags as the body of ``POST /containers/create`` (docker CLI, container/opts.go)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

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
    attached = [stream.lower() for stream in options.all("attach")]
    body: Body = {
        "Image": image,
        "Cmd": command or None,
        "Env": environment(options.all("env-file"), options.all("env")),
        "Labels": key_values(options.all("label")),
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
        "CgroupnsMode": options.text("cgroupns"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuShares": options.number("cpu-shares"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "BlkioWeight": options.number("blkio-weight"),
        "Devices": [_device(d) for d in options.all("device")],
        "DeviceCgroupRules": options.all("device-cgroup-rule"),
        "Dns": options.all("dns"),
        "DnsOptions": options.all("dns-option"),
        "DnsSearch": options.all("dns-search"),
        "ExtraHosts": [_extra_host(h) for h in options.all("add-host")],
        "GroupAdd": options.all("group-add"),
        "IpcMode": options.text("ipc"),
        "Links": options.all("link"),
        "LogConfig": {"Type": options.text("log-driver"), "Config": key_values(options.all("log-opt"))},
        "Memory": options.size("memory"),
        "MemoryReservation": options.size("memory-reservation"),
        "MemorySwap": options.size("memory-swap"),
        "Mounts": [mount(m) for m in options.all("mount")],
        "OomKillDisable": options.on("oom-kill-disable"),
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidMode": options.text("pid"),
        "Privileged": options.on("privileged"),
        "PublishAllPorts": options.on("publish-all"),
        "ReadonlyRootfs": options.on("read-only"),
        "RestartPolicy": restart_policy(options.text("restart")),
        "SecurityOpt": options.all("security-opt"),
        "ShmSize": options.size("shm-size"),
        "Sysctls": key_values(options.all("sysctl")),
        "Tmpfs": _tmpfs(options.all("tmpfs")),
        "Ulimits": [ulimit(u) for u in options.all("ulimit")],
        "UsernsMode": options.text("userns"),
        "UTSMode": options.text("uts"),
        "VolumesFrom": options.all("volumes-from"),
    }
    if options.given("cpus"):
        host["NanoCpus"] = parse_nano_cpus(options.text("cpus"))
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
        try:
            lines = Path(name).read_text("utf-8").splitlines()
        except OSError as error:
            raise ValueError(f"open {name}: {(error.strerror or str(error)).lower()}") from None
        for line in lines:
            text = line.lstrip()
            if not text or text.startswith("#"):
                continue
            key, equals, value = text.partition("=")
            if re.search(r"\s", key):
                raise ValueError(f"invalid env file ({name}): variable '{key}' contains whitespaces")
            if not key:
                raise ValueError(f"invalid env file ({name}): no variable name on line '{line}'")
            pairs.append(f"{key}={value}" if equals else key)
    out = []
    for pair in pairs + given:
        if not pair or pair.startswith("="):
            raise ValueError(f"invalid environment variable: {pair}")
        if "=" in pair:
            out.append(pair)
        elif pair in os.environ:
            out.append(f"{pair}={os.environ[pair]}")
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


def ulimit(text: str) -> Body:
    """``nofile=1024:2048``."""
    match = re.fullmatch(r"(\w+)=(-?\d+)(?::(-?\d+))?", text)
    if match is None:
        raise ValueError(f"invalid ulimit argument: {text}")
    soft = int(match[2])
    return {"Name": match[1], "Soft": soft, "Hard": int(match[3]) if match[3] else soft}


def _device(text: str) -> Body:
    parts = text.split(":")
    modes = parts.pop() if len(parts) > 1 and re.fullmatch(r"[rwm]+", parts[-1]) else "rwm"
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": modes}


def _extra_host(text: str) -> str:
    name, separator, address = text.partition("=" if "=" in text else ":")
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    return f"{name}:{address.strip('[]')}"


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
    shared = first.startswith("container:") or first in {"default", "host", "none", "bridge"}
    if shared and not own and len(endpoints) < 2:
        return {}
    return {**endpoints, first: own}


def _addresses(ip4: str, ip6: str) -> Body:
    return {k: v for k, v in (("IPv4Address", ip4), ("IPv6Address", ip6)) if v}


def update_body(options: Options) -> Body:
    """``docker update``'s flags: only what was given."""
    numbers = {"cpu-period": "CpuPeriod", "cpu-quota": "CpuQuota", "cpu-shares": "CpuShares", "pids-limit": "PidsLimit"}
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
