"""What a Binder does with the project, tried where nothing is in reach: postBuild, then every notebook through nbval.

``python -m tests.support.binder`` in the project's folder; tests/support/pods.py runs it in a pod. The stand-in images
are loaded first, as what postBuild would pull.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dockmagic import client
from tests.support import books, images


def main() -> int:
    """The exit code."""
    repository = Path.home() / "repository"  # a checkout of the user's own: cells write beside their notebook
    shutil.copytree(books.BOOKS, repository / "notebooks")
    shutil.copytree(books.HERE / "binder", repository / "binder")
    os.environ["DOCKMAGIC_REGISTRY_MIRRORS"] = ""
    choice = client.choose()
    client.connect(choice).close()  # starts the engine
    images.provide(choice.url, python=True)
    subprocess.run(["bash", "binder/postBuild"], cwd=repository, check=True)
    client.connect(choice).close()  # postBuild has ended it
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = sorted((repository / "notebooks").rglob("*.ipynb"))
            return books.compare(choice.url, Path(folder), found)
    finally:
        subprocess.run([sys.executable, "-m", "dockmagic", "engine", "--stop"], check=True)


if __name__ == "__main__":
    sys.exit(main())
