"""What docker checks of a flag's value before it asks the engine anything (docker CLI, opts/ and container/opts.go).

Each takes the value as it stands on the line and gives it, or what it means, back. ValueError has docker's words.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from dockmagic.commands.values import parse_bytes

_DOMAIN = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*\.?")
_SYSCTLS = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
_ULIMITS = frozenset(
    {
        "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
        "rttime", "sigpending", "stack",
    }
)  # fmt: skip
_MODES = re.compile(r"[rwm]{1,3}")


def attach(text: str) -> str:
    """``-a stdin``, in lower case."""
    if text.lower() not in {"stdin", "stdout", "stderr"}:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def env(text: str) -> str:
    if not text or text.startswith("="):
        raise ValueError(f"invalid environment variable: {text}")
    return text


def label(text: str) -> str:
    if text.startswith("="):
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def link(text: str) -> str:
    """``NAME`` or ``NAME:ALIAS``."""
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def extra_host(text: str) -> str:
    """``--add-host name:address`` as the API has it."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    address = address.strip("[]")
    if address != "host-gateway":
        try:
            ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            raise ValueError(f'invalid IP address in add-host: "{address}"') from None
    return f"{name}:{address}"


def dns(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"IP address is not correctly formatted: {text}") from None


def dns_search(text: str) -> str:
    """A domain; ``.`` stands for none."""
    if text.strip() == ".":
        return "."
    if not _DOMAIN.fullmatch(text) or not re.search("[a-zA-Z]", text):
        raise ValueError(f"{text} is not a valid domain")
    return text


def sysctl(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not equals or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


def ulimit(text: str) -> dict[str, Any]:
    """``nofile=1024:2048`` (docker/go-units, ParseUlimit)."""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    numbers = limits.split(":")
    if len(numbers) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    try:
        soft, hard = int(numbers[0]), int(numbers[-1])
    except ValueError as error:
        wrong = next(n for n in numbers if not re.fullmatch(r"[+-]?\d+", n))
        raise ValueError(f'strconv.ParseInt: parsing "{wrong}": invalid syntax') from error
    if hard != -1 and (soft > hard or soft == -1):
        limits = f"soft: -1 (unlimited), hard: {hard}" if soft == -1 else f"{soft} > {hard}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {limits}")
    return {"Name": name, "Soft": soft, "Hard": hard}


def device(text: str) -> dict[str, Any]:
    """``/dev/sda:/dev/xvda:rwm``."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {text}")
    if len(parts) == 3 and not _is_mode(parts[2]):
        raise ValueError(f"bad mode specified: {parts[2]}")
    modes = parts.pop() if len(parts) > 1 and _is_mode(parts[-1]) else "rwm"
    if not parts[-1].startswith("/"):
        raise ValueError(f"{parts[-1]} is not an absolute path")
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": modes}


def _is_mode(text: str) -> bool:
    return bool(_MODES.fullmatch(text)) and len(set(text)) == len(text)


def weight_device(text: str) -> dict[str, Any]:
    """``/dev/sda:200``."""
    path, weight = _of_device(text)
    if not weight.isdigit() or not (weight == "0" or 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def bytes_rate(text: str) -> dict[str, Any]:
    """``/dev/sda:1mb``, a second."""
    return _rate(text, parse_bytes, "<number>[<unit>]. Number must be a positive integer. Unit is optional and can be "
                                    "kb, mb, or gb")  # fmt: skip


def operations_rate(text: str) -> dict[str, Any]:
    """``/dev/sda:1000``, a second."""
    return _rate(text, int, "<number>. Number must be a positive integer")


def _rate(text: str, number: Callable[[str], int], form: str) -> dict[str, Any]:
    path, rate = _of_device(text)
    try:
        value = number(rate)
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError(f"invalid rate for device: {text}. The correct format is <device-path>:{form}")
    return {"Path": path, "Rate": value}


def _of_device(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def gpus(text: str) -> dict[str, Any]:
    """``all``, a number, or ``device=0,1`` and ``capabilities=…`` (docker CLI, opts/gpus.go)."""
    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", field
        if key == "count":
            if value != "all" and not re.fullmatch(r"-?\d+", value):
                raise ValueError(f'invalid count ({value}): value must be either "all" or an integer')
            request["Count"] = -1 if value == "all" else int(value)
        elif key == "driver":
            request["Driver"] = value
        elif key == "device":
            request["DeviceIDs"] = [*(request["DeviceIDs"] or []), value]
        elif key == "capabilities":
            request["Capabilities"] = [[*request["Capabilities"][0], value]]
        elif key == "options":
            name, _, setting = value.partition("=")
            request["Options"][name] = setting
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if not request["Count"] and request["DeviceIDs"] is None:
        request["Count"] = 1
    return request
