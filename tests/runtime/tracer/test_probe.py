"""What the probe says of machines that allow less: simulated by seccomp filters over it, and by mounts."""

from __future__ import annotations

import errno
import os
import pickle
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic import home
from dockmagic.runtime import libc
from dockmagic.runtime.protocols import Capability, Finding
from dockmagic.runtime.tracer import probe
from dockmagic.runtime.tracer.arch import current
from dockmagic.runtime.tracer.filter import FilterBuilder, answer

KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS, linux/seccomp.h
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting in a namespace of its own needs root")


def in_child(prepare: Callable[[], object], action: Callable[[], object] = probe.probe) -> object:
    """What ``action`` gives in a child that did ``prepare`` to itself."""
    near, far = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prepare()
            os.write(far, pickle.dumps(action()))
        except OSError as error:
            os.write(far, pickle.dumps(error))
        finally:
            os._exit(0)
    os.close(far)
    with open(near, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    return pickle.loads(data)


def filtered(action: int, *names: str) -> Capability:
    """The probe's answer under a filter that does ``action`` to the calls ``names``."""
    arch = current()
    assert arch is not None

    def install() -> None:
        builder = FilterBuilder(arch)
        for name in names:
            builder.add(name, action)
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.seccomp_filter(builder.build())

    found = in_child(install)
    assert isinstance(found, Capability)
    return found


def named(capability: Capability, name: str) -> Finding:
    return next(finding for finding in capability.findings if finding.name == name)


@pytest.mark.parametrize("action", [answer(errno.EPERM), answer(errno.ENOSYS), KILL])
@pytest.mark.parametrize(("calls", "finding"), [(("ptrace",), "ptrace"), (("seccomp", "prctl"), "seccomp trace")])
def test_a_call_that_is_refused_or_kills(calls: tuple[str, ...], finding: str, action: int) -> None:
    found = filtered(action, *calls)
    assert not found.available
    said = named(found, finding)
    assert not said.ok
    assert said.detail
    assert said.meaning


def test_calls_that_it_can_do_without_do_not_matter() -> None:
    assert filtered(answer(errno.ENOSYS), "seccomp").available  # prctl does the same
    assert filtered(KILL, "reboot", "kexec_load").available


@pytest.mark.parametrize(("value", "ok"), [("0", True), ("1", True), ("2", False), ("3", False)])
def test_yama_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, ok: bool) -> None:
    (tmp_path / "scope").write_text(f"{value}\n")
    monkeypatch.setattr(probe, "_YAMA", str(tmp_path / "scope"))
    found = probe._yama()
    assert (found.ok, found.detail) == (ok, f"ptrace_scope {value}")
    assert found.meaning


@pytest.mark.parametrize(
    ("release", "ok"), [("4.4.0", False), ("4.8.0-rc1+", True), ("5.10.0-28-amd64", True), ("6.18", True), ("3", False)]
)
def test_old_kernels_are_refused(monkeypatch: pytest.MonkeyPatch, release: str, ok: bool) -> None:
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(release=release, machine="x86_64"))
    assert probe._kernel().ok is ok


def mounts(*made: tuple[str, str, int]) -> Callable[[], object]:
    """Mount empty folders in a namespace of this process's own: (path, file system, flags)."""

    def mount() -> None:
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount(None, "/", None, libc.MS_SLAVE | libc.MS_REC)
        for path, kind, flags in made:
            libc.mount(kind, path, kind, flags)

    return mount


@needs_root
@pytest.mark.parametrize(
    ("flags", "words"), [(libc.MS_NOEXEC, "is mounted noexec"), (libc.MS_RDONLY, "Read-only file system")]
)
def test_a_folder_of_no_use(tmp_path: Path, flags: int, words: str) -> None:
    found = in_child(mounts((str(tmp_path), "tmpfs", flags)), lambda: probe.probe(str(tmp_path / "not/there/yet")))
    assert isinstance(found, Capability)
    assert not found.available
    said = named(found, "programs' folder")
    assert words in said.detail
    assert "DOCKMAGIC_ROOT" in said.meaning


@needs_root
@pytest.mark.parametrize("flags", [libc.MS_NOEXEC, libc.MS_RDONLY, 0])
def test_a_home_of_no_use_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int) -> None:
    monkeypatch.delenv("DOCKMAGIC_ROOT", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    expected = "/tmp/dockmagic/data" if flags else f"{tmp_path}/share/dockmagic"
    assert str(in_child(mounts((str(tmp_path), "tmpfs", flags)), home.data_root)) == expected


@needs_root
def test_a_masked_proc(tmp_path: Path) -> None:
    found = in_child(mounts(("/proc", "tmpfs", 0)), lambda: probe.probe(str(tmp_path)))
    assert isinstance(found, Capability)
    assert not found.available
    assert not named(found, "process memory").ok


@needs_root
def test_no_terminals(tmp_path: Path) -> None:
    found = in_child(mounts(("/dev/pts", "tmpfs", 0)), lambda: probe.probe(str(tmp_path)))
    assert isinstance(found, Capability)
    assert found.available
    assert "none with a terminal" in named(found, "terminals").meaning


def test_the_probe_leaves_nothing(tmp_path: Path) -> None:
    before = _own_children()
    assert probe.probe(str(tmp_path)).findings
    assert list(tmp_path.iterdir()) == []
    assert _own_children() <= before  # engines of other tests may be there


def _own_children() -> set[str]:
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}
