"""Shells and kernels of their own for the notebook's tests."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient


@pytest.fixture
def ip() -> Iterator[InteractiveShell]:
    """IPython without a kernel, dockmagic loaded."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "dockmagic")
    yield shell
    shell.run_line_magic("unload_ext", "dockmagic")
    InteractiveShell.clear_instance()


def outputs_of(cell: nbformat.NotebookNode) -> str:
    """What a reader without HTML sees."""
    out = []
    for output in cell.outputs:
        if output.output_type == "stream":
            out.append(output.text)
        elif output.output_type == "error":
            out.append("\n".join(output.traceback))
        else:
            out.append(output.data.get("text/plain", "") + "\n")
    return "".join(out)


Cells = Callable[..., nbformat.NotebookNode]


@pytest.fixture
def cells(run_engine: str, tmp_path: Path) -> Cells:
    """Runs cells in a real kernel; a notebook whose cells have ``shown``."""

    def run(*sources: str, kernel: str = "python3") -> nbformat.NotebookNode:
        first = ["%load_ext dockmagic"] if kernel == "python3" else []
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in [*first, *sources]])
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(book, timeout=120, kernel_name=kernel, resources=resources, allow_errors=True).execute()
        del book.cells[: len(first)]
        for cell in book.cells:
            cell.shown = outputs_of(cell)
        return book

    return run


@contextlib.contextmanager
def dockerfile_kernel() -> Iterator[Any]:
    """(manager, client) of a kernel "Dockerfile" of this very Python."""
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv = [sys.executable, "-m", "dockmagic.notebook.kernel", "-f", "{connection_file}"]
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel()
