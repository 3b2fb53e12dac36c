"""The notebooks through nbval, on an engine that has the stand-in images: the same outputs, ids and times aside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parents[2]
BOOKS = HERE / "notebooks"
OWN = "embedded-engine"
"""The tag of cells that no Docker daemon runs: builds with secrets."""

SECONDS = 120
"""A cell that takes longer has failed."""


def compare(engine: str, folder: Path, books: Sequence[Path]) -> int:
    """The exit code of nbval for ``books`` on the engine at ``engine``; ``folder`` is docker's configuration."""
    options = ["-p", "no:cacheprovider", "-p", "tests.support.fresh", "--timeout", "600", "--durations=3"]
    options += ["--nbval", "--nbval-cell-timeout", str(SECONDS)]
    options += ["--nbval-sanitize-with", str(BOOKS / "sanitize.cfg"), *map(str, books)]
    environment = {**os.environ, "DOCKER_CONFIG": str(folder), "DOCKMAGIC_HOST": engine}
    command = [sys.executable, "-m", "pytest", "-q", *options]
    return subprocess.run(command, cwd=HERE, env=environment, check=False).returncode


def all_books() -> list[Path]:
    """English and Korean."""
    return sorted(BOOKS.rglob("*.ipynb"))


def copy_for_dockerd(folder: Path) -> list[Path]:
    """The notebooks as files in ``folder``, without the cells that only an engine of ours runs."""
    copies = []
    for book in all_books():
        notebook = nbformat.read(book, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if OWN not in cell.metadata.get("tags", [])]
        copy = folder / book.relative_to(BOOKS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, copy)
        copies.append(copy)
    return copies
