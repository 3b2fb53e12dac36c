"""kill -9 in the middle of a build: nothing of the container runs on, the store is whole, the next build right."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.spine.conftest import dockmagic
from tests.support import images, services

pytestmark = pytest.mark.skipif(
    "embedded" not in os.environ.get("DOCKMAGIC_TEST_ENGINES", "embedded"), reason="about the embedded engine only"
)
SECONDS = 10
"""How long a loaded machine may take to end what was killed; it is a few milliseconds when nothing else runs."""


def _status(pid: int, key: str) -> str:
    """A line of /proc/PID/status, or nothing when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    found = re.search(rf"^{key}:\s*(.*)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def _running(marker: str) -> list[int]:
    """Processes (no zombies) with ``marker`` among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def _above(pid: int, name: str) -> int:
    """The nearest ancestor called ``name``."""
    while pid > 1:
        pid = int(_status(pid, "PPid") or 0)
        if _status(pid, "Name") == name:
            return pid
    pytest.fail(f"no {name} above")


def _shim(url: str, pid: int) -> int:
    return _above(pid, "dockmagic-shim")


def _tracer(url: str, pid: int) -> int:
    tracer = int(_status(pid, "TracerPid") or 0)
    if not tracer:
        pytest.skip("this tier has no tracer")
    return tracer


def _engine(url: str, pid: int) -> int:
    return services.listener(url)


@pytest.mark.parametrize("victim", [_shim, _tracer, _engine])
def test_killed_in_the_middle_of_a_build(tmp_path: Path, victim: Callable[[str, int], int]) -> None:
    marker = str(314_159_000_000 + os.getpid())
    root, context = tmp_path / "root", tmp_path / "context"
    context.mkdir()
    text = "FROM alpine\nRUN echo kept > /kept\nRUN echo half > /half; {}\nCMD cat /kept /half\n"
    (context / "Dockerfile").write_text(text.format(f"sleep {marker} & echo st''arted; sleep {marker}"))
    with services.embedded(root) as url:
        client = docker.DockerClient(base_url=url)
        client.images.load(images.alpine())
        client.close()
        build = subprocess.Popen(
            [sys.executable, "-m", "dockmagic", "build", "--progress", "plain", "-t", "made", str(context)],
            env={**os.environ, "DOCKMAGIC_HOST": url}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert build.stdout is not None
        assert any("started" in line for line in build.stdout)
        deadline = time.monotonic() + SECONDS
        while not (sleeping := _running(marker)):  # the shell speaks before its children run their program
            assert time.monotonic() < deadline, "nothing sleeps"
        os.kill(victim(url, sleeping[0]), signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while _running(marker):
            assert time.monotonic() < deadline, "the container's processes run on"
        rest = build.stdout.read()
        build.stdout.close()
        assert build.wait() != 0
        assert "Traceback" not in rest
        if victim is not _engine:
            _builds_right(url, context, text)
    with services.embedded(root) as url:
        _builds_right(url, context, text)


def _builds_right(url: str, context: Path, text: str) -> None:
    (context / "Dockerfile").write_text(text.format("true"))
    done = dockmagic("build", "--progress", "plain", "-t", "made", str(context), DOCKMAGIC_HOST=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CACHED" in done.stdout + done.stderr
    assert dockmagic("run", "--rm", "made", DOCKMAGIC_HOST=url).stdout == "kept\nhalf\n"
    client = docker.DockerClient(base_url=url)
    assert client.api.info()["Containers"] == 0
    client.close()
