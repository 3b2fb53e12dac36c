"""IPython in a terminal: a container's terminal is the real one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pytest


@pytest.fixture
def ipython(run_engine: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path), "TERM": "dumb"}
    command = ["-m", "IPython", "--no-banner", "--simple-prompt", "--no-confirm-exit", "--ext", "dockmagic"]
    child = pexpect.spawn(sys.executable, command, env=environment, timeout=60, encoding="utf-8", dimensions=(33, 111))
    child.expect(r"In \[1\]: ")
    yield child
    child.close(force=True)


def test_a_containers_terminal_has_the_windows_size_and_keys(ipython) -> None:  # type: ignore[no-untyped-def]
    ipython.sendline("%docker run -it --rm alpine sh")
    ipython.expect("/ # ")
    ipython.sendline("stty size; echo $((6 * 7))")
    ipython.expect("33 111\r\n")
    ipython.expect("42\r\n")
    ipython.sendcontrol("d")
    ipython.expect(r"In \[2\]: ")
    ipython.sendline("%docker run --rm alpine sh -c 'exit 3'")
    ipython.expect("docker run alpine exited with code 3")
    ipython.expect(r"In \[3\]: ")


def test_what_is_shown_is_shown_once(ipython) -> None:  # type: ignore[no-untyped-def]
    ipython.sendline("%docker run --rm alpine sh -c 'echo only-$((0 + 1))'")
    ipython.expect("only-1\r\n")
    ipython.expect(r"In \[2\]: ")
    assert "Out[1]" not in ipython.before
    assert "only-1" not in ipython.before
