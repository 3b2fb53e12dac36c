"""Limits have an effect where control groups can be written, and leave nothing behind."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from dockmagic.runtime.namespaces import cgroups
from dockmagic.runtime.spec import Limits
from tests.runtime.conftest import Machine


@pytest.fixture
def limited(root_machine: Machine) -> Machine:
    if not cgroups.describe().writable:
        pytest.skip("control groups can't be written here")
    return root_machine


def _groups() -> set[str]:
    return set(glob.glob("/sys/fs/cgroup/**/dockmagic/*/", recursive=True))


def test_too_much_memory_is_an_oom_kill(limited: Machine) -> None:
    before = _groups()
    limits = Limits(memory=16 * 1024 * 1024, memory_swap=16 * 1024 * 1024)
    process = limited.prepare("sh", "-c", "head -c 100m /dev/zero | tail -c 90m | wc -c", limits=limits, id="hungry")
    process.start()
    ended = process.wait(20)
    assert ended.oom_killed
    process.close()
    assert _groups() == before


def test_the_number_of_processes_is_limited(limited: Machine) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait"
    code, _out, err = limited.run("sh", "-c", script, limits=Limits(pids=5))
    assert code != 0
    assert b"can't fork" in err


def test_an_exec_is_in_the_same_groups(limited: Machine) -> None:
    container = limited.prepare("sleep", "100", limits=Limits(pids=50, memory=64 * 1024 * 1024))
    pid = container.start()
    code, out, _err = limited.run_exec(container, "cat", "/proc/self/cgroup")
    container.signal(9)
    container.wait(5)
    container.close()
    assert (code, pid > 0) == (0, True)
    own = Path("/proc/self/cgroup").read_text()
    assert out.decode() != own


def test_limits_change_while_it_runs(limited: Machine) -> None:
    before = _groups()
    container = limited.prepare("sleep", "100")
    container.start()
    container.update(Limits(pids=3))
    code, _out, err = limited.run_exec(container, "sh", "-c", "sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait")
    assert code != 0
    assert b"can't fork" in err
    container.update(Limits(pids=-1))
    assert limited.run_exec(container, "sh", "-c", "true & true & true & true & wait")[0] == 0
    container.signal(9)
    container.wait(5)
    container.close()
    assert _groups() == before


def test_a_start_that_fails_leaves_no_group(limited: Machine) -> None:
    before = _groups()
    assert limited.run("nope", limits=Limits(pids=50))[0] == 127
    assert _groups() == before


def test_limits_without_effect_are_accepted(machine: Machine) -> None:
    assert machine.run("true", limits=Limits(memory=64 * 1024 * 1024, cpus=0.5, pids=100, cpu_shares=512))[0] == 0


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(memory=1000, memory_swap=3000), [("memory.max", "1000"), ("memory.swap.max", "2000")]),
        (Limits(memory=1000, memory_swap=-1), [("memory.max", "1000"), ("memory.swap.max", "max")]),
    ],
)
def test_memory_in_version_two(limits: Limits, expected: list[tuple[str, str]]) -> None:
    assert cgroups._v2_settings("memory", limits) == expected


def test_cpus_in_both_versions() -> None:
    limits = Limits(cpus=1.5, cpu_shares=1024)
    assert ("cpu.max", "150000 100000") in cgroups._v2_settings("cpu", limits)
    assert ("cpu.weight", "39") in cgroups._v2_settings("cpu", limits)
    assert ("cpu.cfs_quota_us", "150000") in cgroups._v1_settings("cpu", limits)
    assert ("cpu.shares", "1024") in cgroups._v1_settings("cpu", limits)
