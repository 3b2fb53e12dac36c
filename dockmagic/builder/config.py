"""What instructions do to an image's config and history: BuildKit's dispatch functions, pure.

The document is the OCI image config with Docker's additions (moby/docker-image-spec), as a plain dict.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from dockmagic.dockerfile.golang import quote
from dockmagic.errors import InvalidParameter
from dockmagic.platforms import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMENT = "buildkit.dockerfile.v0"
_KEPT = ("author", "architecture", "os", "variant", "os.version", "os.features", "config", "history", "rootfs")
_CONFIG_ORDER = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "StopTimeout", "ArgsEscaped", "MemorySwap", "Healthcheck", "OnBuild", "Shell",
)  # fmt: skip
_SIGNALS = frozenset(
    {
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    }
)  # fmt: skip


class ImageConfig:
    """An image config that instructions change."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: dict[str, Any] = {key: copy.deepcopy(document[key]) for key in _KEPT if key in document}
        self.document["config"] = dict(self.document.get("config") or {})
        self.document["history"] = list(self.document.get("history") or [])
        self._cmd_set = False

    @classmethod
    def empty(cls, platform: Platform) -> ImageConfig:
        """What ``FROM scratch`` begins with."""
        config: dict[str, Any] = {"WorkingDir": "/"}
        if platform.os != "windows":
            config["Env"] = [f"PATH={DEFAULT_PATH}"]
        made = cls({"config": config, "rootfs": {"type": "layers", "diff_ids": None}})
        made.set_platform(platform)
        return made

    def child(self) -> ImageConfig:
        """What ``FROM stage`` begins with: triggers are run, not inherited."""
        made = ImageConfig(self.document)
        made.config.pop("OnBuild", None)
        return made

    @property
    def config(self) -> dict[str, Any]:
        """The container's part."""
        part: dict[str, Any] = self.document["config"]
        return part

    @property
    def windows(self) -> bool:
        return bool(self.document.get("os") == "windows")

    @property
    def environment(self) -> list[str]:
        return list(self.config.get("Env") or [])

    @property
    def triggers(self) -> list[str]:
        return list(self.config.get("OnBuild") or [])

    @property
    def user(self) -> str:
        return str(self.config.get("User") or "")

    @property
    def workdir(self) -> str:
        """With slashes, whatever the system."""
        return str(self.config.get("WorkingDir") or "/").replace("\\", "/") or "/"

    def set_platform(self, platform: Platform) -> None:
        self.document["os"] = platform.os
        self.document["architecture"] = platform.architecture
        for key, value in (("variant", platform.variant), ("os.version", platform.version)):
            if value:
                self.document[key] = value
            else:
                self.document.pop(key, None)

    def record(self, created_by: str, *, layer: bool = False, buildkit: bool = False) -> None:
        """One line of history; ``created`` is filled in at the end."""
        entry: dict[str, Any] = {"created_by": created_by + (" # buildkit" if buildkit else ""), "comment": COMMENT}
        if not layer:
            entry["empty_layer"] = True
        self.document["history"].append(entry)

    # --- the instructions ---

    def ensure_path(self) -> None:
        """PATH is always set, but for Windows."""
        if not self.windows and not any(entry.split("=", 1)[0] == "PATH" for entry in self.environment):
            self.config["Env"] = [*self.environment, f"PATH={DEFAULT_PATH}"]

    def env(self, pairs: Sequence[tuple[str, str]]) -> None:
        environment = self.environment
        for key, value in pairs:
            for index, entry in enumerate(environment):
                if entry.split("=", 1)[0] == key:
                    environment[index] = f"{key}={value}"
                    break
            else:
                environment.append(f"{key}={value}")
        self.config["Env"] = environment
        self.record("ENV " + " ".join(f"{key}={value}" for key, value in pairs))

    def arg(self, values: Sequence[tuple[str, str | None]]) -> None:
        self.record("ARG " + " ".join(key if value is None else f"{key}={value}" for key, value in values))

    def label(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.config["Labels"] = {**(self.config.get("Labels") or {}), **dict(pairs)}
        self.record("LABEL " + " ".join(f"{key}={value}" for key, value in pairs))

    def set_workdir(self, path: str) -> str:
        """Change the working directory; the new one, with slashes."""
        path = path.replace("\\", "/") if self.windows else path
        workdir = _clean(path if path.startswith("/") else f"{self.workdir}/{path}")
        self.config["WorkingDir"] = workdir.replace("/", "\\") if self.windows else workdir
        return workdir

    def set_user(self, user: str) -> None:
        self.config["User"] = user
        self.record(f"USER {user}")

    def cmd(self, args: Sequence[str]) -> None:
        self._cmd_set = True
        self.config["Cmd"] = list(args)
        self.config["ArgsEscaped"] = True
        self.record(f"CMD {_quoted_list(args)}")

    def entrypoint(self, args: Sequence[str]) -> None:
        """An inherited CMD goes; one of this stage stays."""
        self.config["Entrypoint"] = list(args)
        if not self._cmd_set:
            self.config.pop("Cmd", None)
        self.record(f"ENTRYPOINT {_quoted_list(args)}")

    def healthcheck(self, test: Sequence[str], durations: Mapping[str, int], retries: int) -> None:
        """``durations`` in ns by the config's names (Interval, Timeout, StartPeriod, StartInterval)."""
        check: dict[str, Any] = {"Test": list(test), **{name: value for name, value in durations.items() if value}}
        if retries:
            check["Retries"] = retries
        self.config["Healthcheck"] = check
        shown = " ".join(
            f"{name}:{duration(durations.get(name, 0))}"
            for name in ("Interval", "Timeout", "StartPeriod", "StartInterval")
        )
        self.record(f"HEALTHCHECK {{Test:[{' '.join(test)}] {shown} Retries:{retries}}}")

    def expose(self, ports: Sequence[str]) -> None:
        found = [port for spec in ports for port in port_specs(spec)]
        self.config["ExposedPorts"] = {**(self.config.get("ExposedPorts") or {}), **{port: {} for port in found}}
        self.record(f"EXPOSE [{' '.join(found)}]")

    def volume(self, volumes: Sequence[str]) -> None:
        if "" in volumes:
            raise InvalidParameter("VOLUME specified can not be an empty string")
        self.config["Volumes"] = {**(self.config.get("Volumes") or {}), **{volume: {} for volume in volumes}}
        self.record(f"VOLUME [{' '.join(volumes)}]")

    def stop_signal(self, signal: str) -> None:
        check_signal(signal)
        self.config["StopSignal"] = signal
        self.record(f"STOPSIGNAL {signal}")

    def shell(self, shell: Sequence[str]) -> None:
        self.config["Shell"] = list(shell)
        self.record(f"SHELL [{' '.join(shell)}]")

    def onbuild(self, expression: str) -> None:
        self.config["OnBuild"] = [*self.triggers, expression]

    def maintainer(self, name: str) -> None:
        self.document["author"] = name
        self.record(f"MAINTAINER {name}")

    def with_shell(self, args: Sequence[str]) -> list[str]:
        """The shell form: SHELL in front of one string."""
        default = ["cmd", "/S", "/C"] if self.windows else ["/bin/sh", "-c"]
        return [*(self.config.get("Shell") or default), " ".join(args)]

    # --- the end ---

    def finish(self, diff_ids: Sequence[str], created: Sequence[str | None], epoch: int | None) -> dict[str, Any]:
        """The whole document. ``created`` is each layer's time (RFC 3339), ``epoch`` SOURCE_DATE_EPOCH in seconds.

        Times go into the history as BuildKit's exporter does it: a metadata line takes the time of the first new
        layer, or of the layer before it.
        """
        history = [dict(entry) for entry in self.document["history"]]
        layer = 0
        for entry in history:
            if epoch is not None and "created" not in entry:
                entry["created"] = rfc3339(epoch * 10**9)
            if not entry.get("empty_layer"):
                if "created" not in entry and layer < len(created) and created[layer]:
                    entry["created"] = created[layer]
                layer += 1
        _fill_times(history)
        document = {key: value for key, value in self.document.items() if value not in (None, "")}
        document["config"] = _tidy(self.config)
        document["history"] = [_ordered(entry) for entry in history]
        document["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids) or None}
        times = [entry["created"] for entry in history if entry.get("created")]
        document["created"] = rfc3339(epoch * 10**9) if epoch is not None else (times[-1] if times else None)
        return dict(sorted(document.items()))


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes whose digest is the image's id."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _fill_times(history: list[dict[str, Any]]) -> None:
    time: str | None = None
    missing = False
    for entry in history:
        if entry.get("created"):
            time = entry["created"]
            if missing:
                break
        else:
            missing = True
    missing = False
    for entry in history:
        if entry.get("created"):
            if missing:
                time = entry["created"]
        else:
            missing = True
            if time is not None:
                entry["created"] = time


def _ordered(entry: Mapping[str, Any]) -> dict[str, Any]:
    order = ("created", "created_by", "author", "comment", "empty_layer")
    return {key: entry[key] for key in order if entry.get(key)}


def _tidy(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, in the order of the Go structure; unknown names last."""
    known = {key: config[key] for key in _CONFIG_ORDER if key in config}
    known.update({key: config[key] for key in sorted(config) if key not in known})
    return {key: value for key, value in known.items() if value not in (None, "", [], {}, False)}


def _quoted_list(args: Sequence[str]) -> str:
    return f"[{' '.join(map(quote, args))}]"


def _clean(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def rfc3339(ns: int) -> str:
    """A time in ns since the epoch as Go marshals it: UTC, nanoseconds without trailing zeros."""
    seconds, rest = divmod(ns, 10**9)
    text = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}".rstrip("0").rstrip(".") + "Z" if rest else text + "Z"


def duration(ns: int) -> str:
    """Go's ``time.Duration.String``: ``1m30s``, ``0s``, ``1.5s``, ``100ms``."""
    if not ns:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    for unit, name in ((1, "ns"), (10**3, "µs"), (10**6, "ms")):
        if ns < unit * 1000:
            return f"{sign}{_decimal(ns, unit)}{name}"
    minutes, rest = divmod(ns, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0") if rest else str(whole)


def port_specs(spec: str) -> list[str]:
    """``8000-8001/udp`` as ``["8000/udp", "8001/udp"]``, by the rules of docker's nat package."""
    parts = spec.split(":")
    host = parts[-2] if len(parts) > 1 else ""
    container, _, protocol = parts[-1].partition("/")
    if not container:
        raise InvalidParameter(f"no port specified: {parts[-1]}<empty>")
    protocol = protocol.lower() or "tcp"
    if protocol not in {"tcp", "udp", "sctp"}:
        raise InvalidParameter(f"invalid proto: {protocol}")
    ports = _port_range(container)
    if ports is None:
        raise InvalidParameter(f"invalid containerPort: {container}")
    if host:
        hosts = _port_range(host)
        if hosts is None:
            raise InvalidParameter(f"invalid hostPort: {host}")
        if len(hosts) != len(ports) and len(ports) > 1:
            raise InvalidParameter(f"invalid ranges specified for container and host Ports: {container} and {host}")
    return [f"{port}/{protocol}" for port in ports]


def _port_range(text: str) -> range | None:
    first, dash, last = text.partition("-")
    if not re.fullmatch("[0-9]+", first) or (dash and not re.fullmatch("[0-9]+", last)):
        return None
    low, high = int(first), int(last or first)
    return range(low, high + 1) if low <= high < 65536 else None


def check_signal(signal: str) -> None:
    """Raises InvalidParameter for what is no signal."""
    name = signal.upper().removeprefix("SIG")
    number = int(signal) if re.fullmatch("[0-9]+", signal) else 0
    real_time = re.fullmatch(r"RTMIN\+([0-9]+)|RTMAX-([0-9]+)", name)
    if name in _SIGNALS or number or (real_time and int(real_time[1] or real_time[2]) <= 15):
        return
    raise InvalidParameter(f"invalid signal: {signal}")
