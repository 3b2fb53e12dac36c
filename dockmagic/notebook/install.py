"""``dockmagic kernel install``: make the kernel "Dockerfile" known to Jupyter."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

NAME = "dockerfile"


def main(arguments: Sequence[str]) -> int:
    """``install [--user | --sys-prefix | --prefix FOLDER]``, ``remove``, ``spec``; the exit code."""
    parser = argparse.ArgumentParser(prog="dockmagic kernel", description="The Jupyter kernel Dockerfile")
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="make the kernel known to Jupyter")
    where = install.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for this user (the default)")
    where.add_argument("--sys-prefix", action="store_true", help="for this Python environment")
    where.add_argument("--prefix", help="for the environment in this folder")
    commands.add_parser("remove", help="take it back")
    options = parser.parse_args(arguments)
    try:
        if options.command == "remove":
            return _remove()
        prefix = sys.prefix if options.sys_prefix else options.prefix
        print(f"Installed kernelspec {NAME} in {install_spec(prefix)}")
    except OSError as error:
        print(f"dockmagic kernel: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    return 0


def install_spec(prefix: str | None = None) -> str:
    """Put the kernelspec in the user's folder, or under ``prefix``; where it went. It names this very Python."""
    from jupyter_client.kernelspec import KernelSpecManager

    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / NAME
        shutil.copytree(Path(__file__).parent / "kernelspec", spec)
        path = spec / "kernel.json"
        told = json.loads(path.read_text())
        told["argv"][0] = sys.executable
        path.write_text(json.dumps(told, indent=1))
        manager = KernelSpecManager()
        destination: str = manager.install_kernel_spec(str(spec), NAME, user=prefix is None, prefix=prefix)
    return destination


def _remove() -> int:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        print(f"Removed {KernelSpecManager().remove_kernel_spec(NAME)}")
    except (NoSuchKernel, KeyError):
        print(f"dockmagic kernel: no kernelspec {NAME} is installed", file=sys.stderr)
        return 1
    return 0
