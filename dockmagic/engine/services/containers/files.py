"""The files the engine writes for a container and mounts over its own: hosts, hostname, resolv.conf."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from dockmagic.engine.services.containers.record import Container

_HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
NAMES = ("hostname", "hosts", "resolv.conf")
"""In the container's folder; mounted at /etc."""


def write(
    container: Container, addresses: Sequence[str], links: Sequence[tuple[str, str]], *, resolver: str = ""
) -> None:
    """Write the three files. ``addresses`` are the container's own, ``links`` (address, names) of others.

    ``resolver`` is the address of the engine's name server on a user-defined network; empty: the host's servers.
    """
    config, host = container.record.config, container.record.host_config
    name, domain = config["Hostname"], config["Domainname"]
    own = f"{name}.{domain} {name}" if domain else name
    text = _own_hosts(host["NetworkMode"], own, addresses)
    for extra in host["ExtraHosts"] or ():
        separator = "=" if "=" in extra else ":"
        host_name, _, address = extra.partition(separator)
        text += f"{'127.0.0.1' if address == 'host-gateway' else address.strip('[]')}\t{host_name}\n"
    for address, names in links:
        text += f"{address}\t{names}\n"
    _write(container.folder / "hosts", text)
    _write(container.folder / "hostname", f"{name}\n")
    _write(container.folder / "resolv.conf", _resolv(container, resolver))


def _own_hosts(mode: str, own: str, addresses: Sequence[str]) -> str:
    if mode == "host":
        try:
            return Path("/etc/hosts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return _HOSTS
    return _HOSTS + "".join(f"{address}\t{own}\n" for address in addresses)


def _resolv(container: Container, resolver: str) -> str:
    host = container.record.host_config
    try:
        lines = Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
    except OSError:
        lines = []
    replaced = {"nameserver": host["Dns"] or ([resolver] if resolver else []), "search": host["DnsSearch"]}
    replaced["options"] = host["DnsOptions"] or (["ndots:0"] if resolver else [])
    kept = [line for line in lines if not replaced.get((line.split() or [""])[0])]
    kept += [f"nameserver {server}\n" for server in replaced["nameserver"]]
    if replaced["search"] and replaced["search"] != ["."]:
        kept.append(f"search {' '.join(replaced['search'])}\n")
    if replaced["options"]:
        kept.append(f"options {' '.join(replaced['options'])}\n")
    return "".join(kept)


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    path.chmod(0o644)


def default_hostname(id: str, mode: str) -> str:
    """A container's host name when none is asked for: its short id; the machine's on the host's UTS namespace."""
    return socket.gethostname() if mode == "host" else id[:12]
