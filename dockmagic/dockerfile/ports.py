"""EXPOSE: ``80``, ``8000-8010/udp`` into single ports."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum

from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.golang import quote

_HIGHEST = 65535
_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})


class Oddity(Enum):
    """What EXPOSE takes but should not be given."""

    PROTOCOL_CASE = "a protocol that is not lower case"
    MAPPING = "an address or a host port"


OnOdd = Callable[[Oddity, str], None]


def parse_ports(specs: Iterable[str], on_odd: OnOdd | None = None) -> list[str]:
    """``port/protocol`` of each, ranges spelled out, in order. DockerfileError with BuildKit's words."""
    return [port for spec in specs for port in _parse(spec, on_odd)]


def _parse(spec: str, on_odd: OnOdd | None) -> list[str]:
    *address, host, container = ["", *spec.split(":")]
    ip = ":".join(address[1:])
    ports, _, protocol = container.partition("/")
    problem = ""
    if not ports:
        problem = "no port specified"
    elif protocol and protocol.lower() not in _PROTOCOLS:
        problem = f"invalid proto: {protocol}"
    if problem:
        raise DockerfileError(f"invalid port: {quote(spec)}: {problem}")
    if on_odd and protocol != protocol.lower():
        on_odd(Oddity.PROTOCOL_CASE, spec)
    if on_odd and (ip or host):
        on_odd(Oddity.MAPPING, spec)
    if ip:
        _check_address(ip)
    first, last = _range(ports, f"invalid containerPort: {ports}")
    if host:
        host_first, host_last = _range(host, f"invalid hostPort: {host}")
        if last - first != host_last - host_first and first != last:
            raise DockerfileError(f"invalid ranges specified for container and host Ports: {ports} and {host}")
    return [f"{port}/{protocol.lower() or 'tcp'}" for port in range(first, last + 1)]


def _range(text: str, problem: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = [first, last] if dash else [first, first]
    if not all(re.fullmatch(r"\+?[0-9]{1,9}", number) and int(number) <= _HIGHEST for number in numbers):
        raise DockerfileError(problem)
    start, end = map(int, numbers)
    if end < start:
        raise DockerfileError(problem)
    return start, end


def _check_address(ip: str) -> None:
    import ipaddress

    address = ip[1:-1] if ip.startswith("[") and ip.endswith("]") else ip
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise DockerfileError(f"invalid IP address: {address}") from None
