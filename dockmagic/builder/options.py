"""What a request says, its frontend attributes merged in: BuildKit's ``dockerui.Client`` options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from dockmagic.builder.graph import filter_names
from dockmagic.builder.planner import merge_attributes
from dockmagic.builder.request import BuildRequest
from dockmagic.builder.sandbox import HOSTNAME, Surroundings
from dockmagic.dockerfile.golang import parse_size
from dockmagic.errors import InvalidParameter
from dockmagic.platforms import Platform


@dataclass(frozen=True)
class Settings:
    """A request's values in the builder's own types."""

    dockerfile: str
    target: str
    platforms: Sequence[Platform | None]
    """None: this machine's, not asked for"""
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    contexts: Mapping[str, str | BinaryIO]
    no_cache: bool
    no_cache_filter: Sequence[str]
    cache_namespace: str
    surroundings: Surroundings


def settings_of(request: BuildRequest) -> Settings:
    """Raises InvalidParameter."""
    attributes = request.attributes
    build_args = merge_attributes(attributes, "build-arg:", request.build_args)
    contexts: dict[str, str | BinaryIO] = {
        name.removeprefix("context:"): value for name, value in attributes.items() if name.startswith("context:")
    }
    for name, value in request.named_contexts.items():
        # What came as a tar may be called by a URL too: NAME=local:OTHER.
        contexts.setdefault(name, value)
    whole, filters = filter_names(attributes, request.no_cache_filter)
    return Settings(
        dockerfile=_path(attributes.get("filename") or request.dockerfile),
        target=attributes.get("target") or request.target,
        platforms=_platforms(attributes.get("platform") or request.platform),
        build_args=build_args,
        labels=merge_attributes(attributes, "label:", dict(request.labels)),
        contexts=contexts,
        no_cache=request.no_cache or whole,
        no_cache_filter=filters,
        cache_namespace=build_args.get("BUILDKIT_CACHE_MOUNT_NS", ""),
        surroundings=_surroundings(request, build_args),
    )


def _path(path: str) -> str:
    return path.lstrip("/").removeprefix("./") or "Dockerfile"


def _platforms(text: str) -> list[Platform | None]:
    found: list[Platform | None] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        if (platform := Platform.parse(part)) not in found:
            found.append(platform)
    return found or [None]


def _surroundings(request: BuildRequest, build_args: Mapping[str, str]) -> Surroundings:
    attributes = request.attributes
    hosts = [*request.extra_hosts, *filter(None, attributes.get("add-hosts", "").split(","))]
    network = attributes.get("force-network-mode") or request.network
    ulimits = [_ulimit_of(limit) for limit in request.ulimits]
    ulimits += [_ulimit(text) for text in filter(None, attributes.get("ulimit", "").split(","))]
    shm = attributes.get("shm-size", "")
    return Surroundings(
        hostname=build_args.get("BUILDKIT_SANDBOX_HOSTNAME") or attributes.get("hostname") or HOSTNAME,
        hosts=tuple(_host(line) for line in hosts),
        network="none" if network == "none" else "host",
        shm_size=(parse_size(shm) or 0) if shm else request.shm_size,
        memory=int(attributes.get("memory") or request.memory or 0),
        rlimits=tuple(ulimits),
    )


def _host(line: str) -> tuple[str, str]:
    found = re.fullmatch(r"([^:=\s]+)[:=]\[?([0-9A-Fa-f.:]+|host-gateway)\]?", line.strip())
    if found is None:
        raise InvalidParameter(f"invalid host {line}")
    address = "127.0.0.1" if found[2] == "host-gateway" else found[2]  # the host's network is the container's
    return found[1], address


def _ulimit_of(limit: Mapping[str, Any]) -> tuple[str, int, int]:
    return str(limit.get("Name", "")), int(limit.get("Soft", 0)), int(limit.get("Hard", limit.get("Soft", 0)))


def _ulimit(text: str) -> tuple[str, int, int]:
    found = re.fullmatch(r"([a-z]+)=(-?[0-9]+)(?::(-?[0-9]+))?", text.strip())
    if found is None:
        raise InvalidParameter(f"invalid ulimit argument: {text}")
    return found[1], int(found[2]), int(found[3] or found[2])
