"""docker exec: another process in the same view, which ends with the container."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Mount, User
from dockmagic.runtime.tracer.tier import Traced
from tests.runtime.tracer.conftest import Box
from tests.runtime.tracer.test_containers import _alive, _until


@pytest.fixture
def running(box: Box) -> Iterator[Traced]:
    launched = box.background("sleep", "300", hostname="box", mounts=(Mount("/data", kind="tmpfs"),))
    yield launched
    if _alive(launched.pid):
        launched.signal(signal.SIGKILL)
    launched.wait()


def test_it_shares_mounts_names_and_files(box: Box, running: Traced) -> None:
    first = box.execute(running.pid, "sh", "-c", "echo hi > /data/f; hostname; pwd; exit 5", cwd="/etc")
    assert (first.code, first.out) == (5, "box\n/etc\n")
    assert box.execute(running.pid, "cat", "/data/f").out == "hi\n"


def test_it_has_a_user_and_an_environment_of_its_own(box: Box, running: Traced) -> None:
    result = box.execute(running.pid, "/bin/sh", "-c", "id; echo $X", user=User(12, 13, (14,)), env=("X=y",))
    assert result.out.splitlines()[1:] == ["y"] or result.out.splitlines()[-1] == "y"


def test_it_reads_its_input(box: Box, running: Traced) -> None:
    assert box.execute(running.pid, "cat", stdin=b"given").out == "given"


def test_a_link_replaced_by_an_exec_is_seen_by_the_first_process(box: Box) -> None:
    (box.rootfs / "one").mkdir()
    (box.rootfs / "two").mkdir()
    (box.rootfs / "one/f").write_text("1")
    (box.rootfs / "two/f").write_text("2")
    (box.rootfs / "current").symlink_to("/one")
    script = (
        "cat /current/f > /tmp/first; mkfifo /go /done; : < /go; cat /current/f > /tmp/second; : > /done; sleep 300"
    )
    launched = box.background("sh", "-c", script)
    _until(lambda: (box.rootfs / "done").exists() or (box.rootfs / "go").exists())
    box.execute(launched.pid, "sh", "-c", "until test -p /done; do :; done; ln -sfn /two /current; : > /go; : < /done")
    launched.signal(signal.SIGKILL)
    launched.wait()
    assert ((box.rootfs / "tmp/first").read_text(), (box.rootfs / "tmp/second").read_text()) == ("1", "2")


def test_it_ends_with_the_container(box: Box, running: Traced) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    other = box.tier.execute(running.pid, box.spec("sleep", "301"), (null, null, null))
    os.close(null)
    running.signal(signal.SIGKILL)
    assert running.wait() == 137
    assert other.wait() == 137
    assert not _alive(other.pid)


def test_what_cannot_start_says_so(box: Box, running: Traced) -> None:
    with pytest.raises(StartError, match="executable file not found") as caught:
        box.execute(running.pid, "nope")
    assert caught.value.code == 127
    assert box.execute(running.pid, "true").code == 0


def test_a_container_that_ended_takes_none(box: Box) -> None:
    result = box.run("true")
    with pytest.raises(StartError, match="cannot exec in a stopped container"):
        box.execute(result.launched.pid, "true")


def test_a_supervisor_forked_ahead_serves_the_next_container(box: Box) -> None:
    box.tier.get_ready()
    assert box.tier._ready is not None
    keeper, _connection = box.tier._ready
    launched = box.background("sleep", "300")
    assert launched._keeper == keeper
    assert box.tier._ready is None
    assert box.execute(launched.pid, "echo", "ran").out == "ran\n"
    launched.signal(signal.SIGKILL)
    assert launched.wait() == 137


def test_a_supervisor_nobody_needs_leaves_nothing(box: Box) -> None:
    folder = box.tier._folder
    first = box.background("sleep", "300")
    before = set(os.listdir(folder))
    box.tier.get_ready()
    assert box.tier._ready is not None
    keeper, _connection = box.tier._ready
    assert box.execute(first.pid, "true").code == 0
    assert os.waitpid(keeper, 0)[1] == 0
    assert set(os.listdir(folder)) == before
    first.signal(signal.SIGKILL)
    first.wait()


def test_a_supervisor_killed_while_it_waits_is_replaced(box: Box) -> None:
    box.tier.get_ready()
    assert box.tier._ready is not None
    keeper, _connection = box.tier._ready
    os.kill(keeper, signal.SIGKILL)
    os.waitpid(keeper, 0)
    assert box.lines("echo ran") == ["ran"]
