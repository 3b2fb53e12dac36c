"""Docker's own command line against the engines."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import services


@pytest.fixture
def cli(run_engine: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    """``cli("run", …)``: the docker command with this engine as its host."""
    program = shutil.which("docker")
    if program is None:
        services.missing("the docker command is not installed")

    def run(*arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), "-H", run_engine, *arguments], input=input, capture_output=True, text=True, timeout=120,
            check=False, env={**os.environ, "DOCKER_BUILDKIT": "0", "HOME": str(tmp_path)},
        )  # fmt: skip

    return run


def test_version_and_images(cli) -> None:  # type: ignore[no-untyped-def]
    assert "Server:" in cli("version").stdout
    assert "alpine" in cli("images").stdout


def test_run_and_standard_input(cli) -> None:  # type: ignore[no-untyped-def]
    assert cli("run", "--rm", "alpine", "echo", "hello").stdout == "hello\n"
    assert cli("run", "--rm", "-i", "alpine", "wc", "-c", input="xx\n").stdout.strip() == "3"
    assert cli("run", "--rm", "alpine", "sh", "-c", "exit 9").returncode == 9
    assert cli("run", "--rm", "alpine", "nope").returncode == 127


def test_build(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "Dockerfile").write_text('FROM alpine\nRUN echo made > /made\nCMD ["cat", "/made"]\n')
    built = cli("build", "-t", "by-cli", str(tmp_path))
    assert "Step 1/3 : FROM alpine" in built.stdout, built.stderr
    assert "Successfully tagged by-cli:latest" in built.stdout
    assert cli("run", "--rm", "by-cli").stdout == "made\n"


def test_detached_exec_logs_follow(cli) -> None:  # type: ignore[no-untyped-def]
    container = cli(
        "run", "-d", "alpine", "sh", "-c", "echo one; until [ -e /go ]; do sleep 0.05; done; echo two"
    ).stdout.strip()
    try:
        assert cli("exec", container, "sh", "-c", "echo in; touch /go").stdout == "in\n"
        assert cli("logs", "-f", container).stdout == "one\ntwo\n"
        assert cli("wait", container).stdout == "0\n"
    finally:
        cli("rm", "-f", container)
