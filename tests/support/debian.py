"""A Debian root file system with Python, made once by debootstrap: for apt inside builds, and for pods."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PACKAGES = "python3,python3-venv,busybox-static,ca-certificates"


def place() -> Path:
    """Where the root's tar is kept: ``DOCKMAGIC_TEST_DEBIAN``, else in the folder for temporary files."""
    return Path(os.environ.get("DOCKMAGIC_TEST_DEBIAN") or Path(tempfile.gettempdir()) / "dockmagic-test-debian.tar")


def needed() -> None:
    """Skip where there is no such root and none can be made, or no network to fetch packages by."""
    if not place().exists() and (os.geteuid() != 0 or not shutil.which("debootstrap")):
        pytest.skip("no Debian root, and making one needs root and debootstrap")
    if len(Path("/proc/net/route").read_text().splitlines()) < 2:
        pytest.skip("no network to fetch packages")


def tarball() -> Path:
    """A plain tar of the root, made when it is not there yet."""
    made = place()
    if not made.exists():
        with tempfile.TemporaryDirectory(prefix="dockmagic-debian-") as folder:
            root = Path(folder) / "root"
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            unfinished = made.with_suffix(".part")
            skipped = [
                "./var/cache/apt/archives/*.deb",
                "./var/lib/apt/lists/*",
                "./usr/share/doc/*",
                "./usr/share/locale/*",
            ]
            options = [f"--exclude={pattern}" for pattern in skipped]
            subprocess.run(["tar", "-C", str(root), *options, "-cf", str(unfinished), "."], check=True)
            unfinished.chmod(0o644)
            unfinished.replace(made)
    return made
