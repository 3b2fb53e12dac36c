"""What goes wrong outside: a full disk, an engine that is killed."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import pytest

from tests.builder.cases import context_tar
from tests.builder.conftest import opened

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts of its own")


def running(text: str) -> bool:
    """Whether a process has this in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                return True
        except OSError:  # it ended meanwhile
            continue
    return False


def test_a_full_disk_fails_the_step_and_leaves_nothing(conformance: Path, tmp_path: Path) -> None:
    with opened(tmp_path, conformance, disk="12m") as workshop:
        base = workshop.build("FROM busybox\nRUN echo good > /good\n")
        before = len(workshop.ask(call="records"))
        for step in ("COPY big /big", "RUN cat /dev/zero > /big"):
            failed = workshop.build(
                f"FROM busybox\nRUN echo good > /good\n{step}\n", {"big": "x" * 20_000_000}, fails=True
            )
            assert "space" in str(failed.logs) + failed.error
            assert failed.line == 3
            assert failed.cached()[:2] == [True, True]
        assert len(workshop.ask(call="records")) == before
        assert workshop.ask(call="snapshots.keys") == []
        assert workshop.build("FROM busybox\nRUN echo good > /good\nRUN echo fine > /fine\n").image != base.image


def test_a_killed_engine_leaves_nothing_and_the_next_goes_on(conformance: Path, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN echo first > /first\nRUN echo begun; sleep 47.125\n"
    context = context_tar([{"path": "Dockerfile", "type": "file", "mode": "0644", "text": text}]).getvalue()
    with opened(tmp_path, conformance) as workshop:
        workshop.build(text.rpartition("RUN")[0])
        workshop.send(request={"context": base64.b64encode(context).decode()})
        deadline = time.monotonic() + 30
        while not running("sleep 47.125"):
            assert time.monotonic() < deadline, "the second RUN never began"
        workshop.kill()
    with opened(tmp_path, conformance) as workshop:
        assert workshop.ask(call="snapshots.keys") == []
        assert not list(tmp_path.glob("builder/builds/*"))
        assert not running("sleep 47.125")
        assert workshop.build(text.rpartition("RUN")[0]).cached() == [True, True]
