"""The spine's fixtures: the ``dockmagic`` program on each engine, and engines that a test may kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def dockmagic(*arguments: str, input: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a terminal's way; its output and exit code."""
    return subprocess.run(
        [sys.executable, "-m", "dockmagic", *arguments],
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def program(run_engine: str) -> Run:
    """``program("run", "--rm", "alpine", …)`` on the engine of the parameter."""

    def run(*arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return dockmagic(*arguments, input=input, DOCKMAGIC_HOST=run_engine)

    return run
