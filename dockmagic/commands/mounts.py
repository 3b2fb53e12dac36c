"""``-v`` and ``--mount``: what a container sees of volumes and of the machine's folders."""

from __future__ import annotations

import os
import re
from typing import Any


def add_volumes(given: list[str], body: dict[str, Any]) -> None:
    """Put ``-v`` values into ``body``: a lone path is an anonymous volume, the others are binds."""
    binds: list[str] = []
    for spec in given:
        parts = split_volume(spec)
        if len(parts) == 1:
            body.setdefault("Volumes", {})[parts[0]] = {}
            continue
        source = parts[0]
        if source.startswith((".", "~")):  # a path of the machine's; the engine wants it whole
            source = os.path.abspath(os.path.expanduser(source))
        binds.append(":".join([source, *parts[1:]]))
    body["HostConfig"]["Binds"] = binds


def split_volume(spec: str) -> list[str]:
    """``source:target:mode`` in its parts; a Windows drive's colon is none of the separators."""
    if not spec or spec.startswith(":") or spec == ":":
        raise ValueError(
            "invalid empty volume spec" if not spec else f"invalid spec: {spec}: empty section between colons"
        )
    drive = re.match(r"[A-Za-z]:[\\/]", spec)
    rest = spec[2:] if drive else spec
    parts = rest.split(":")
    if drive:
        parts[0] = spec[:2] + parts[0]
    if "" in parts:
        raise ValueError(f"invalid spec: {spec}: empty section between colons")
    return parts


def mount(text: str) -> dict[str, Any]:
    """``type=bind,source=/a,target=/b,readonly`` as the API's Mount."""
    out: dict[str, Any] = {"Type": "volume"}
    options: dict[str, Any] = {}
    for item in text.split(","):
        key, equals, value = item.partition("=")
        key = key.strip().lower()
        if not equals and key not in {"readonly", "ro", "volume-nocopy", "bind-nonrecursive"}:
            raise ValueError(f"invalid field '{item}' must be a key=value pair")
        truth = value.lower() in {"", "1", "true"}
        if key == "type":
            out["Type"] = value.lower()
        elif key in {"source", "src"}:
            out["Source"] = value
        elif key in {"target", "dst", "destination"}:
            out["Target"] = value
        elif key in {"readonly", "ro"}:
            out["ReadOnly"] = truth
        elif key == "consistency":
            out["Consistency"] = value
        elif key == "bind-propagation":
            options.setdefault("BindOptions", {})["Propagation"] = value
        elif key == "volume-nocopy":
            options.setdefault("VolumeOptions", {})["NoCopy"] = truth
        elif key == "volume-driver":
            options.setdefault("VolumeOptions", {})["DriverConfig"] = {"Name": value}
        elif key == "tmpfs-size":
            options.setdefault("TmpfsOptions", {})["SizeBytes"] = _size(value)
        elif key == "tmpfs-mode":
            options.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
        else:
            raise ValueError(f"unexpected key '{key}' in '{item}'")
    if "Target" not in out:
        raise ValueError("invalid mount: target is required")
    if out["Type"] == "bind" and str(out.get("Source", "")).startswith((".", "~")):
        out["Source"] = os.path.abspath(os.path.expanduser(out["Source"]))
    return out | options


def _size(text: str) -> int:
    from dockmagic.commands.values import parse_bytes

    return parse_bytes(text)
