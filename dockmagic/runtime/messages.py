"""Messages between engine, zygote and shims: one JSON object a packet, descriptors beside it.

The sockets are AF_UNIX SOCK_SEQPACKET, so a message is whole or not there at all, and its descriptors belong to it.
A message must fit a socket's buffer (some 200 KB): large things travel as a memfd among the descriptors.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, TypeAlias

Message: TypeAlias = "dict[str, Any]"

SHIM_SOCKET = "shim.sock"
"""Where a shim takes control connections, in its folder."""
EXIT_RECORD = "exit.json"
"""How a shim's process ended, in its folder."""

_LARGEST = 1 << 16
_MOST_FDS = 8


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Raises OSError (EPIPE, ECONNRESET) when the other side is gone."""
    data = json.dumps(message).encode()
    if fds:
        socket.send_fds(sock, [data], list(fds))
    else:
        sock.send(data)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors (close-on-exec), or None at the end."""
    try:
        data, fds, _flags, _address = socket.recv_fds(sock, _LARGEST, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    if not data:
        return None
    return json.loads(data), fds


def listen(folder: str, name: str) -> socket.socket:
    """A listening socket ``folder/name``, however long the folder's path is (a socket's has at most 108 bytes)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass
        sock.bind(f"/proc/self/fd/{directory}/{name}")
        sock.listen(64)
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(directory)
    return sock


def connect(folder: str, name: str) -> socket.socket:
    """Connect to ``folder/name``; OSError (ENOENT, ECONNREFUSED) when nobody listens there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{name}")
        finally:
            os.close(directory)
    except BaseException:
        sock.close()
        raise
    return sock
