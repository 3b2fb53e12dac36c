"""``-p`` and ``--expose``: ports and ranges of them (docker/go-connections, nat.ParsePortSpec)."""

from __future__ import annotations

import re


def publish(given: list[str]) -> tuple[dict[str, dict[str, str]], dict[str, list[dict[str, str]]]]:
    """(ExposedPorts, PortBindings) of ``[[ip:]host:]container[/proto]``. Raises ValueError with docker's words."""
    exposed: dict[str, dict[str, str]] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for spec in given:
        for port, binding in _spec(spec):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    return exposed, bindings


def expose(given: list[str]) -> list[str]:
    """``80``, ``8000-8010/udp`` as ports with their protocol."""
    ports = []
    for spec in given:
        numbers, _, protocol = spec.partition("/")
        try:
            first, last = _range(numbers)
        except ValueError:
            wrong = next((n for n in numbers.split("-") if not n.isdigit()), "")
            why = f', error: strconv.ParseUint: parsing "{wrong}": invalid syntax' if wrong else ""
            raise ValueError(f"invalid range format for --expose: {spec}{why}") from None
        ports += [f"{n}/{protocol or 'tcp'}" for n in range(first, last + 1)]
    return ports


def _spec(spec: str) -> list[tuple[str, dict[str, str]]]:
    plain, _, protocol = spec.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in {"tcp", "udp", "sctp"}:
        raise ValueError(f"invalid proto: {protocol}")
    address, host, container = _split(plain)
    if not container:
        raise ValueError(f"no port specified: {spec}<empty>")
    try:
        first, last = _range(container)
    except ValueError:
        raise ValueError(f"invalid containerPort: {container}") from None
    if not host:
        return [(f"{n}/{protocol}", {"HostIp": address, "HostPort": ""}) for n in range(first, last + 1)]
    try:
        low, high = _range(host)
    except ValueError:
        raise ValueError(f"invalid hostPort: {host}") from None
    if last - first != high - low:
        if first != last:
            raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
        return [(f"{first}/{protocol}", {"HostIp": address, "HostPort": host})]
    count = last - first + 1
    return [(f"{first + i}/{protocol}", {"HostIp": address, "HostPort": str(low + i)}) for i in range(count)]


def _split(plain: str) -> tuple[str, str, str]:
    bracketed = re.fullmatch(r"\[([^\]]*)\]:([^:]*):([^:]*)", plain)
    if bracketed:
        return bracketed[1], bracketed[2], bracketed[3]
    parts = plain.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _range(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", text):
        raise ValueError(text)
    first, _, last = text.partition("-")
    low, high = int(first), int(last or first)
    if high < low or high > 65535:
        raise ValueError(text)
    return low, high
