"""Where dockmagic keeps its state, and how to name a socket whose path is too long for the kernel."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path


def data_root() -> Path:
    """The engine's data root: ``$DOCKMAGIC_ROOT``, else a folder of this user's (root's: /var/lib/dockmagic)."""
    explicit = os.environ.get("DOCKMAGIC_ROOT")
    if explicit:
        return Path(explicit).expanduser().absolute()
    if sys.platform != "win32" and os.geteuid() == 0 and not os.environ.get("XDG_DATA_HOME"):
        return Path("/var/lib/dockmagic")
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return Path(base) / "dockmagic"


def runtime_folder() -> Path:
    """A folder of this user's for sockets (mode 0700), short enough for a socket's 108 bytes."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isdir(base) and os.access(base, os.W_OK):
        return Path(base) / "dockmagic"
    uid = os.geteuid() if sys.platform != "win32" else 0
    return Path(tempfile.gettempdir()) / f"dockmagic-{uid}"


def default_socket(root: Path) -> Path:
    """The engine's socket for a data root; one engine a user and data root."""
    digest = hashlib.sha256(os.fsencode(str(root.absolute()))).hexdigest()[:12]
    return runtime_folder() / f"{digest}.sock"
