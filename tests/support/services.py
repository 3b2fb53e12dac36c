"""A real dockerd and a registry for the tests: the ones the environment names, else started here and ended again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIRED = os.environ.get("DOCKMAGIC_CI") == "1"
"""In CI nothing of what the tests need may be missing."""


def missing(reason: str) -> None:
    """Skip on a laptop; fail in CI."""
    if REQUIRED:
        pytest.fail(f"needed in CI: {reason}")
    pytest.skip(reason)


def wait_for_socket(address: str | tuple[str, int], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once a server accepts on ``address``; fail with its log when it ends or takes over 60 s."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    deadline = time.monotonic() + 60
    while True:
        with socket.socket(family) as probe:
            if probe.connect_ex(address) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{process.args!r} did not come up:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask ``process`` to end and wait for it."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def listener(url: str) -> int:
    """The pid of the process that listens on the unix socket at ``url``."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(url.removeprefix("unix://"))
        pid, _, _ = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@contextlib.contextmanager
def dockerd() -> Iterator[str]:
    """The URL of a real Docker daemon."""
    given = os.environ.get("DOCKMAGIC_TEST_DOCKERD")
    if given:
        yield given
        return
    if os.geteuid() != 0:
        pytest.skip("a dockerd of the tests' own needs root")
    for program in ("dockerd", "ip"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")
    with tempfile.TemporaryDirectory(prefix="dm-dockerd-", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        log = base / "log"
        path = str(base / "d.sock")
        command = ["dockerd", "--data-root", str(base / "data"), "--exec-root", str(base / "exec")]
        command += ["--pidfile", str(base / "pid"), "-H", f"unix://{path}"]
        with _bridge() as bridge, log.open("wb") as out:
            process = subprocess.Popen([*command, "--bridge", bridge], stdout=out, stderr=out)
            try:
                wait_for_socket(path, process, log)
                yield f"unix://{path}"
            finally:
                end(process)


@contextlib.contextmanager
def _bridge() -> Iterator[str]:
    """A bridge of a daemon's own: daemons that share docker0 give out the same addresses."""
    number = os.getpid() % 250 + 1
    name = f"dmtest{os.getpid()}"
    for arguments in (
        f"link add {name} type bridge",
        f"addr add 172.29.{number}.1/24 dev {name}",
        f"link set {name} up",
    ):
        subprocess.run(["ip", *arguments.split()], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False)


@contextlib.contextmanager
def registry() -> Iterator[str]:
    """``host:port`` of a registry on loopback, without TLS."""
    given = os.environ.get("DOCKMAGIC_TEST_REGISTRY")
    if given:
        yield given
        return
    if shutil.which("docker-registry") is None:
        missing("docker-registry is not installed")
    with tempfile.TemporaryDirectory(prefix="dm-registry-", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        port = free_port()
        (base / "config.yml").write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {base}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n"
        )
        log = base / "log"
        with log.open("wb") as out:
            command = ["docker-registry", "serve", str(base / "config.yml")]
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            wait_for_socket(("127.0.0.1", port), process, log)
            yield f"127.0.0.1:{port}"
        finally:
            end(process)


@contextlib.contextmanager
def embedded(root: Path, **environment: str) -> Iterator[str]:
    """The URL of an engine of ours with its data under ``root``, in the tier DOCKMAGIC_RUNTIME names or the best."""
    import sys

    root.mkdir(parents=True, exist_ok=True)
    path = str(Path(tempfile.mkdtemp(prefix="dm-")) / "e.sock")
    log = root / "test-engine.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dockmagic", "engine", "--host", f"unix://{path}", "--root", str(root)],
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
        )
    try:
        wait_for_socket(path, process, log)
        yield f"unix://{path}"
    finally:
        end(process)
        shutil.rmtree(Path(path).parent, ignore_errors=True)
