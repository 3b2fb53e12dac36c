"""A create request's Config: checked, completed by the image's, in the API's shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dockmagic.errors import InvalidParameter

_DEFAULTS: dict[str, Any] = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "ExposedPorts": None, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None,
    "Healthcheck": None, "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None,
    "Labels": None, "StopSignal": "", "StopTimeout": None, "Shell": None, "MacAddress": "",
}  # fmt: skip
_OPTIONAL = {"ExposedPorts", "Healthcheck", "StopSignal", "StopTimeout", "Shell", "MacAddress"}
"""Left out of the API's answers while empty (``omitempty`` in moby's container.Config)."""
_LISTS = {"Env", "OnBuild", "Shell"}
_COMMANDS = {"Cmd", "Entrypoint"}
_MAPS = {"ExposedPorts", "Volumes", "Labels", "Healthcheck"}


def merged(asked: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """The whole Config of a container from what was ``asked`` and the ``image``'s own (runconfig.Merge of moby).

    Raises InvalidParameter.
    """
    given = folded(asked, _DEFAULTS)
    config = {name: _typed(name, given.get(name)) for name in _DEFAULTS}
    if not config["User"]:
        config["User"] = image.get("User") or ""
    if not config["WorkingDir"]:
        config["WorkingDir"] = image.get("WorkingDir") or ""
    if not config["StopSignal"]:
        config["StopSignal"] = image.get("StopSignal") or ""
    for name in ("ExposedPorts", "Volumes", "Labels"):
        both = {**(image.get(name) or {}), **(config[name] or {})}
        config[name] = both or ({} if name == "Labels" else None)
    config["Env"] = _environment(config["Env"] or [], image.get("Env") or [])
    config["Healthcheck"] = _healthcheck(config["Healthcheck"], image.get("Healthcheck"))
    if config["Shell"] is None:
        config["Shell"] = image.get("Shell")
    if not config["Entrypoint"]:
        if not config["Cmd"]:
            config["Cmd"] = list(image["Cmd"]) if image.get("Cmd") else None
        if config["Entrypoint"] is None and image.get("Entrypoint"):
            config["Entrypoint"] = list(image["Entrypoint"])
    if config["Entrypoint"] == [""]:
        config["Entrypoint"] = None  # docker run --entrypoint ""
    if not config["Entrypoint"] and not config["Cmd"]:
        raise InvalidParameter("no command specified")
    if config["WorkingDir"] and not config["WorkingDir"].startswith("/"):
        raise InvalidParameter(
            f"the working directory '{config['WorkingDir']}' is invalid, it needs to be an absolute path"
        )
    if config["Healthcheck"]:
        _check_healthcheck(config["Healthcheck"])
    return config


def shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """The Config as answers show it."""
    return {name: value for name, value in config.items() if value or name not in _OPTIONAL}


def command(config: Mapping[str, Any]) -> list[str]:
    """Entrypoint and command, one after the other: what runs."""
    return [*(config["Entrypoint"] or ()), *(config["Cmd"] or ())]


def _typed(name: str, value: Any) -> Any:
    default: Any = _DEFAULTS[name]
    if value is None:
        return default
    if name in _COMMANDS and isinstance(value, str):
        return [value]
    if name == "StopTimeout":
        wanted: type = int
    elif name in _LISTS or name in _COMMANDS:
        wanted = list
    elif name in _MAPS:
        wanted = dict
    else:
        wanted = type(default)
    items = value if wanted is list and isinstance(value, list) else ()
    if not isinstance(value, wanted) or not all(isinstance(item, str) for item in items):
        raise InvalidParameter(
            f"invalid JSON: json: cannot unmarshal {go_kind(value)} into Go struct field Config.{name}"
        )
    return value


def folded(asked: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """``asked`` with those of its keys that differ from ``names`` in case alone as in ``names``: Go reads JSON so."""
    known = {name.lower(): name for name in names}
    return {known.get(key.lower(), key): value for key, value in asked.items()}


def go_kind(value: Any) -> str:
    """What Go calls the JSON type of ``value``."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object"


def _environment(asked: list[str], image: list[str]) -> list[str]:
    names = {item.partition("=")[0] for item in asked}
    for item in asked:
        if not item or item.startswith("="):
            raise InvalidParameter(f"invalid environment variable: {item}")
    return [*asked, *(item for item in image if item.partition("=")[0] not in names)]


def _healthcheck(asked: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if asked is None:
        return dict(image) if image else None
    merged = dict(asked)
    for name, value in (image or {}).items():
        if not merged.get(name):
            merged[name] = value
    return merged


def _check_healthcheck(check: Mapping[str, Any]) -> None:
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if 0 < (check.get(name) or 0) < 1_000_000 or (check.get(name) or 0) < 0:
            raise InvalidParameter(f"{name} in Healthcheck cannot be less than 1ms")
    if (check.get("Retries") or 0) < 0:
        raise InvalidParameter("Retries in Healthcheck cannot be negative")
