"""Where dockmagic keeps its state, and how to name a socket whose path is too long for the kernel."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path


def data_root() -> Path:
    """The engine's data root: ``$DOCKMAGIC_ROOT``, else a folder of this user's (root's: /var/lib/dockmagic).

    Where that can't be written, or no program may run from it, it is among the temporary files: it then lasts as long
    as those do, but containers run.
    """
    explicit = os.environ.get("DOCKMAGIC_ROOT")
    if explicit:
        return Path(explicit).expanduser().absolute()
    if sys.platform != "win32" and os.geteuid() == 0 and not os.environ.get("XDG_DATA_HOME"):
        usual = Path("/var/lib/dockmagic")
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
        usual = Path(base) / "dockmagic"
    return usual if _usable(usual) else runtime_folder() / "data"


def _usable(folder: Path) -> bool:
    """Whether containers can be kept in ``folder``, which need not be there yet."""
    if sys.platform == "win32":
        return True
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        noexec = sys.platform == "linux" and os.statvfs(folder).f_flag & os.ST_NOEXEC
        return os.access(folder, os.W_OK | os.X_OK) and not noexec
    except OSError:
        return False


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
