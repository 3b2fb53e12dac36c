"""A terminal that is left by its keys: what ran in it runs on."""

from __future__ import annotations

import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.commands.conftest import Shell

Keys = Callable[..., tuple[int, str]]
CAT = ["sh", "-c", "stty -echo; echo ready; exec cat"]


@pytest.fixture
def keys(run_engine: str) -> Iterator[Keys]:
    """``keys(words, typed)``: the program at a terminal, the keys typed when it is ready; its exit code and output."""
    running: set[int] = set()

    def run(words: list[str], *typed: bytes) -> tuple[int, str]:
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["DOCKMAGIC_HOST"] = run_engine
            os.execv(sys.executable, [sys.executable, "-m", "dockmagic", *words])
        running.add(pid)
        out = b""
        waiting = list(typed)
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # how a terminal ends
                data = b""
            if not data:
                break
            out += data
            if waiting and (b"ready" in out if len(waiting) == len(typed) else b"more" in out):
                os.write(terminal, waiting.pop(0))
        _, status = os.waitpid(pid, 0)
        running.discard(pid)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), out.decode()

    yield run
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_run_is_left(keys: Keys, shell: Shell) -> None:
    try:
        code, _ = keys(["run", "-it", "--name", "left", "alpine", *CAT], b"more\n", b"\x10\x11")
        assert code == 0
        assert shell("inspect", "left")[0]["State"]["Running"]
    finally:
        shell("rm", "-f", "left")


def test_an_exec_is_left_by_keys_of_ones_own(keys: Keys, shell: Shell, container: Callable[..., str]) -> None:
    name = container("alpine", "sleep", "1000")
    code, text = keys(["exec", "-it", "--detach-keys", "ctrl-a,x", name, *CAT], b"more\n", b"\x01x")
    assert code == 1
    assert text.endswith("read escape sequence\r\n")


def test_keys_that_are_none(shell: Shell, container: Callable[..., str]) -> None:
    name = container("-t", "-i", "alpine", "cat")
    with pytest.raises(Exception, match="Invalid detach keys"):
        shell("attach", "--detach-keys", "ctrl-?", name, stdin=b"")
