"""Functions that a test runs inside the driver (with no more than the standard library, by whatever interpreter)."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

from tests.runtime.driver import Driver


def mount_something(_driver: Driver, where: str) -> None:
    from dockmagic.runtime import libc

    os.makedirs(where, exist_ok=True)
    libc.mount("tmpfs", where, "tmpfs")
    os.close(os.open(os.path.join(where, "something"), os.O_CREAT))


def list_folder(_driver: Driver, where: str) -> list[str]:
    return os.listdir(where)


def count_descriptors(_driver: Driver) -> int:
    return len(os.listdir("/proc/self/fd"))


def count_mounts(driver: Driver) -> int:
    """Those of ours: what else the machine mounts comes in too."""
    return Path("/proc/self/mountinfo").read_text().count(f" {driver.folder}")


def networks(driver: Driver) -> Any:
    from dockmagic.runtime.networks.service import Networks

    return Networks(driver.runtime, driver.folder / "networks")


def publish(driver: Driver, shared: str, address: str, ports: Any, shim: str) -> Any:
    from dockmagic.runtime.networks.ports import publish

    return publish(
        driver.runtime, driver.folder / f"ports-{shim}", address, ports, network=shared, shim=driver.folder / shim
    )


def ports_of(_driver: Driver, published: Any) -> list[tuple[int, str, str, int]]:
    return [(p.container_port, p.protocol, p.host_address, p.host_port) for p in published.ports]


def networks_shared(_driver: Driver, networks: Any) -> str:
    return str(networks.shared)


def exchange(port: int, data: bytes) -> bytes:
    """Send, half-close, read to the end: as a client of the machine's port."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sender = threading.Thread(target=_send_and_end, args=(sock, data))
        sender.start()
        got = b""
        while block := sock.recv(65536):
            got += block
        sender.join()
        return got


def _send_and_end(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def exchange_again(_driver: Driver, port: int, data: bytes) -> bytes:
    """As :func:`exchange`, until the server in the container listens (busybox's nc does so once at a time)."""
    end = time.monotonic() + 5
    while True:
        try:
            got = exchange(port, data)
        except ConnectionError:
            got = b""
        if got or time.monotonic() > end:
            return got


def exchange_until_refused(_driver: Driver, port: int) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        exchange(port, b"")


def datagram_again(_driver: Driver, port: int, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        for _ in range(50):
            sock.sendto(data, ("127.0.0.1", port))
            try:
                return sock.recv(65536)
            except TimeoutError:
                continue
    return b""


def echo_datagrams(_driver: Driver, space: str, port: int) -> None:
    """Serve one client in a container's network namespace (busybox has no UDP server)."""
    from dockmagic.runtime.networks import spaces

    sock = spaces.inside(space, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("0.0.0.0", port))

    def serve() -> None:
        with sock:
            data, client = sock.recvfrom(65536)
            sock.sendto(data, client)

    threading.Thread(target=serve, daemon=True).start()


def bind_again(_driver: Driver, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))


def occupy_port(_driver: Driver) -> int:
    listener = socket.create_server(("127.0.0.1", 0))
    _kept.append(listener)
    return int(listener.getsockname()[1])


_kept: list[socket.socket] = []


def links(_driver: Driver) -> list[str]:
    return [name for _index, name in socket.if_nameindex()]


def make_small_root(driver: Driver, link: str = "") -> str:
    """A root of one static program; ``link``: a folder's name that is a link out of it."""
    root = driver.folder / f"small{link}"
    if not root.exists():
        root.mkdir()
        shutil.copy(driver.folder / "rootfs" / "bin" / "busybox", root / "busybox")
        if link:
            (root / link).symlink_to("/tmp")
    return str(root)


def read_link(_driver: Driver, path: str) -> str:
    return os.readlink(path)


def zygote_pid(_driver: Driver) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):  # ended since the folder was listed
                continue
            if "dockmagic-zygot" in fields[0] and int(fields[2].split()[1]) == os.getpid():
                return int(entry.name)
    raise LookupError
