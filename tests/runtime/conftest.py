"""The runtime's tests run containers of busybox in every namespaces tier that can be had here.

``machine`` is one of: root's own (``namespaces``), an unprivileged user with subordinate ids (``range``), one without
(``single``). The users are made for the session and removed after it.
"""

from __future__ import annotations

import os
import pickle
import pwd
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.driver import Ref

REPOSITORY = Path(__file__).resolve().parents[2]
CONFORMANCE = Path(os.environ.get("DOCKMAGIC_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance"))
_USERS = {"range": "dmtestrange", "single": "dmtestsingle"}


class Handle:
    """An object inside the driver; methods are called there."""

    def __init__(self, machine: Machine, number: int) -> None:
        self.machine = machine
        self.number = number

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.machine.ask(self.number, name, args, kwargs)


class Machine:
    """A driver process of some user's, with a folder of its own that holds a busybox ``rootfs``."""

    def __init__(
        self, kind: str, user: str | None, tier: str | None = None, folder: Path | None = None, network: str = ""
    ) -> None:
        self.kind = kind
        self.user = user
        self.folder = folder or _make_folder(user)
        self._own_folder = folder is None
        command = [_interpreter(user), "-m", "tests.runtime.driver", str(self.folder), tier or "", network]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
        if user:
            account = pwd.getpwnam(user)
            identity: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        else:
            identity = {}
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment, **identity
        )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        sent = tuple(Ref(a.number) if isinstance(a, Handle) else a for a in args)
        assert self._child.stdin is not None
        pickle.dump((number, method, sent, kwargs), self._child.stdin)
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        good, value = pickle.load(self._child.stdout)
        if not good:
            raise value
        return Handle(self, value.number) if isinstance(value, Ref) else value

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.ask(0, name, args, kwargs)

    def kill(self) -> None:
        """As kill -9 of an engine."""
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(10)
        assert self._child.stdout is not None
        self._child.stdout.close()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def _interpreter(user: str | None) -> str:
    """One that this user may run: a virtual environment may be in root's home."""
    return sys.executable if user is None else "/usr/bin/python3"


def _make_folder(user: str | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dm-runtime-"))
    source = CONFORMANCE / "busybox-rootfs.tar"
    if not source.exists():
        shutil.rmtree(folder)
        pytest.skip("the conformance data with a busybox root file system is not here")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "rootfs", filter="tar") if hasattr(tarfile, "tar_filter") else archive.extractall(
            folder / "rootfs"
        )
    folder.chmod(0o755)
    if user:
        account = pwd.getpwnam(user)
        subprocess.run(["chown", "-hR", f"{account.pw_uid}:{account.pw_gid}", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def unprivileged() -> Iterator[dict[str, str]]:
    """Two users by kind: with subordinate ids, and without."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("making users needs root and useradd")
    for name in _USERS.values():
        subprocess.run(["useradd", "-M", "-d", "/", name], check=True, capture_output=True)
    for path in ("/etc/subuid", "/etc/subgid"):
        file = Path(path)
        if file.exists():
            kept = [line for line in file.read_text().splitlines(True) if not line.startswith(_USERS["single"] + ":")]
            file.write_text("".join(kept))
    yield _USERS
    for name in _USERS.values():
        for pid in _processes_of(name):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["userdel", "-f", name], check=False, capture_output=True)


def _processes_of(user: str) -> list[int]:
    uid = pwd.getpwnam(user).pw_uid
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest) -> Iterator[dict[str, Machine]]:
    made: dict[str, Machine] = {}
    yield made
    for machine in made.values():
        machine.close()


@pytest.fixture(params=["namespaces", "range", "single"])
def machine(request: pytest.FixtureRequest, machines: dict[str, Machine]) -> Machine:
    """A running driver of each kind; the same one for all tests of a session."""
    kind = request.param
    if kind not in machines:
        if kind == "namespaces":
            if os.geteuid() != 0:
                pytest.skip("the privileged tier needs root")
            machines[kind] = Machine(kind, None, "namespaces")
        else:
            users = request.getfixturevalue("unprivileged")
            if kind == "range" and shutil.which("newuidmap") is None:
                pytest.skip("newuidmap is not installed")
            machines[kind] = Machine(kind, users[kind], "rootless")
    return machines[kind]


@pytest.fixture(scope="session")
def root_only() -> None:
    if os.geteuid() != 0:
        pytest.skip("the privileged tier needs root")


@pytest.fixture
def root_machine(machines: dict[str, Machine]) -> Machine:
    """The privileged one only."""
    if os.geteuid() != 0:
        pytest.skip("the privileged tier needs root")
    if "namespaces" not in machines:
        machines["namespaces"] = Machine("namespaces", None, "namespaces")
    return machines["namespaces"]
