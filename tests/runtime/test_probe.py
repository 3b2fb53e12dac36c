"""The probe says what is there and why; opening takes the strongest or what was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic.errors import Unavailable
from dockmagic.runtime import probe
from tests.runtime.conftest import Machine


def test_each_tier_is_reported_strongest_first(tmp_path: Path) -> None:
    found = probe.probe(tmp_path)
    assert [capability.tier for capability in found] == ["namespaces", "rootless", "tracer"]
    assert all(capability.findings for capability in found)
    assert list(tmp_path.iterdir()) == []


def test_what_failed_says_why_and_what_follows(machine: Machine) -> None:
    for finding in machine.capability().findings:
        assert finding.ok or (finding.detail and finding.meaning)


def test_the_capability_of_each_kind(machine: Machine) -> None:
    capability = machine.capability()
    tier, mapping, overlay = {
        "namespaces": ("namespaces", "host", ""),
        "range": ("rootless", "range", "userxattr"),
        "single": ("rootless", "single", "userxattr"),
    }[machine.kind]
    assert (capability.tier, capability.id_mapping) == (tier, mapping)
    assert capability.overlay in (overlay, "no")
    assert "the kernel: containers share the machine's" in capability.not_isolated


def test_probing_is_quick(tmp_path: Path) -> None:
    """In processor time, which a busy machine doesn't change."""
    assert min(_seconds_of_a_probe(tmp_path) for _ in range(3)) < 0.1


def _seconds_of_a_probe(folder: Path) -> float:
    before = os.times()
    probe.probe_tier("namespaces", folder)
    return sum(os.times()[:4]) - sum(before[:4])


def test_probing_leaves_this_process_where_it_was(tmp_path: Path) -> None:
    def namespaces() -> list[str]:
        return [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "user", "pid_for_children", "net", "uts")]

    before = namespaces()
    probe.probe(tmp_path)
    assert namespaces() == before


def test_an_unknown_tier_is_refused(tmp_path: Path) -> None:
    from dockmagic.runtime import open_runtime

    with pytest.raises(Unavailable, match=r"unknown runtime moon: DOCKMAGIC_RUNTIME is one of namespaces, rootless, "):
        open_runtime(tmp_path, "moon")


def test_a_tier_that_cannot_be_had_says_why(unprivileged: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match=r"the namespaces runtime can't work here \(namespaces: CAP_SYS_ADMIN"):
        Machine("range", unprivileged["range"], "namespaces")


def test_opening_needs_a_single_thread(tmp_path: Path) -> None:
    script = (
        "import sys, threading, pathlib; from dockmagic.runtime import open_runtime\n"
        "stop = threading.Event(); threading.Thread(target=stop.wait).start()\n"
        "try: open_runtime(pathlib.Path(sys.argv[1]))\n"
        "except RuntimeError as error: print(error)\n"
        "stop.set()"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "open_runtime must be called before any thread is started\n"
