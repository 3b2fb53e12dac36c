"""The shim outlives the engine and nothing outlives the shim."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from dockmagic.runtime.spec import Exit
from tests.runtime import inside
from tests.runtime.conftest import Machine


def _eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _alive(pid: int) -> bool:
    """Running, not a zombie that nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _shims(machine: Machine) -> list[int]:
    return [int(note.name) for note in (machine.folder / "runtime" / "shims").iterdir() if _alive(int(note.name))]


def test_an_engines_death_leaves_the_container_running_and_the_next_engine_finds_it(machine: Machine) -> None:
    first = Machine(machine.kind, machine.user, folder=machine.folder)
    log = machine.folder / f"log-{machine.kind}"
    script = "echo before; while ! test -e /tmp/go; do sleep 0.02; done; echo after; exit 5"
    process = first.prepare("sh", "-c", script, id="survivor", log_path=str(log), hostname="old")
    stream = first.attach(process)
    pid = process.start()
    stream.read_until(b"before\n")
    first.kill()
    assert _alive(pid)

    second = Machine(machine.kind, machine.user, folder=machine.folder)
    found = second.find("survivor")
    assert second.pid_of(found) == pid
    assert second.run_exec(found, "hostname")[1] == b"old\n"
    again = second.attach(found)
    second.run("touch", "/tmp/go")
    assert again.read_all()[1] == b"after\n"
    assert found.wait(5).code == 5
    found.close()
    ended = second.find("survivor")
    assert isinstance(ended, Exit)
    assert ended.code == 5
    assert [json.loads(line)["log"] for line in log.read_text().splitlines()] == ["before\n", "after\n"]
    second.run("rm", "/tmp/go")
    second.close()


def test_the_next_engine_sees_the_mounts_of_the_one_before(machine: Machine) -> None:
    first = Machine(machine.kind, machine.user, folder=machine.folder)
    where = str(machine.folder / "mounted")
    first.call(inside.mount_something, where)
    process = first.prepare("sleep", "100", id="holder")
    process.start()
    first.kill()
    second = Machine(machine.kind, machine.user, folder=machine.folder)
    assert second.call(inside.list_folder, where) == ["something"]
    found = second.find("holder")
    found.signal(signal.SIGKILL)
    found.wait(5)
    second.close()
    assert not os.path.exists(os.path.join(where, "something"))


def test_a_process_dies_with_its_shim(machine: Machine) -> None:
    process = machine.prepare("sleep", "100", id="orphan")
    pid = process.start()
    shim = _parent_of(pid)
    assert shim in _shims(machine)
    os.kill(shim, signal.SIGKILL)
    assert _eventually(lambda: not _alive(pid))
    assert process.wait(5).error == "the shim was killed"
    assert machine.describe(machine.find("orphan")) is None
    process.close()


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_shim_whose_process_never_started_ends_with_its_engine(machine: Machine) -> None:
    other = Machine(machine.kind, machine.user, folder=machine.folder)
    process = other.prepare("true", id="never")
    sock = machine.folder / "never" / "shim.sock"
    assert _eventually(sock.exists)
    other.kill()
    assert _eventually(lambda: not sock.exists())
    assert process is not None


def test_closing_an_unstarted_process_ends_its_shim(machine: Machine) -> None:
    process = machine.prepare("true", id="closed")
    sock = machine.folder / "closed" / "shim.sock"
    assert _eventually(sock.exists)
    process.close()
    assert _eventually(lambda: not sock.exists())


def test_find_knows_nothing_of_an_empty_folder(machine: Machine) -> None:
    (machine.folder / "nobody").mkdir(exist_ok=True)
    assert machine.describe(machine.find("nobody")) is None


def test_a_folder_serves_a_second_start(machine: Machine) -> None:
    for code in (3, 4):
        process = machine.prepare("sh", "-c", f"exit {code}", id="twice")
        process.start()
        assert process.wait(5).code == code
        process.close()


def test_a_long_folder_name_is_no_obstacle(machine: Machine) -> None:
    name = "x" * 200
    assert machine.run("echo", "hi", id=name)[1] == b"hi\n"


def test_many_runs_leave_nothing_behind(machine: Machine) -> None:
    descriptors = machine.call(inside.count_descriptors)
    mounts = machine.call(inside.count_mounts)
    for _ in range(40):
        assert machine.run("true")[0] == 0
    assert _eventually(lambda: len(_shims(machine)) <= 1)  # the one forked ahead
    assert machine.call(inside.count_descriptors) == descriptors
    assert machine.call(inside.count_mounts) == mounts


def test_a_zygote_that_was_killed_is_replaced(machine: Machine) -> None:
    other = Machine(machine.kind, machine.user, folder=machine.folder)
    assert other.run("true")[0] == 0
    os.kill(other.call(inside.zygote_pid), signal.SIGKILL)
    assert _eventually(lambda: other.run("true")[0] == 0)
    other.close()
