"""``dockmagic engine --stop``: ask the engine of a socket to end, and wait until it has."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys

_PATIENCE = 100
"""seconds: unmounting an overlay writes back the whole disk, which a busy one takes its time for"""


def stop(path: str) -> int:
    """The exit status: 0 also when no engine listens on ``path``. Its containers are stopped."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return 0
        except OSError as error:
            print(f"dockmagic engine: can't reach {path}: {error.strerror}", file=sys.stderr)
            return 1
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", peer)[0]
    try:
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return 0
    except OSError as error:
        print(f"dockmagic engine: can't end process {pid}: {error.strerror}", file=sys.stderr)
        return 1
    with os.fdopen(handle, "rb", closefd=True) as ended:
        if not select.select([ended], [], [], _PATIENCE)[0]:
            print(f"dockmagic engine: process {pid} has not ended after {_PATIENCE} s", file=sys.stderr)
            return 1
    return 0
