"""What an engine of ours does without a registry, with one as mirror, and when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.spine.conftest import dockmagic
from tests.support import images, services

ONE = os.environ.get("DOCKMAGIC_TEST_ENGINES", "embedded")
pytestmark = pytest.mark.skipif("embedded" not in ONE, reason="about the embedded engine only")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[str]:
    """A new engine of ours with nothing in its store and no registry in reach."""
    with services.embedded(tmp_path / "root", DOCKMAGIC_REGISTRY_MIRRORS="http://127.0.0.1:9") as url:
        yield url


def test_hello_world_is_made_on_the_spot(alone: str) -> None:
    done = dockmagic("run", "--rm", "hello-world", DOCKMAGIC_HOST=alone)
    assert done.returncode == 0, done.stderr
    assert "Unable to find image 'hello-world:latest' locally" in done.stderr
    assert "Hello from dockmagic!" in done.stdout


def test_a_userland_from_the_machine(alone: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM dockmagic/host\nRUN echo built > /made\nCMD cat /made /etc/os-release\n")
    done = dockmagic("build", "-t", "hosted", str(tmp_path), DOCKMAGIC_HOST=alone)
    assert done.returncode == 0, done.stderr
    ran = dockmagic("run", "--rm", "hosted", DOCKMAGIC_HOST=alone)
    assert ran.stdout.startswith("built\n"), ran.stderr
    assert "dockmagic" in ran.stdout


def test_another_name_says_what_can_be_done(alone: str) -> None:
    done = dockmagic("run", "--rm", "debian:bookworm", DOCKMAGIC_HOST=alone)
    assert done.returncode == 125
    assert "dockmagic/host" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mirror_serves_a_pull_and_the_second_run_pulls_nothing(tmp_path: Path, registry: str) -> None:
    with services.embedded(tmp_path / "root", DOCKMAGIC_REGISTRY_MIRRORS=f"http://{registry}") as url:
        first = dockmagic("run", "--rm", "alpine", "echo", "hello", DOCKMAGIC_HOST=url)
        assert first.stdout == "hello\n", first.stderr
        flow = [
            "Unable to find image 'alpine:latest' locally",
            "latest: Pulling from library/alpine",
            "Digest: sha256:",
        ]
        assert [line for line in flow if line not in first.stderr] == []
        assert "Status: Downloaded newer image for alpine:latest" in first.stderr
        second = dockmagic("run", "--rm", "alpine", "echo", "hello", DOCKMAGIC_HOST=url)
        assert (second.stdout, second.stderr) == ("hello\n", "")


def test_secrets_and_named_contexts_reach_a_build(alone: str, tmp_path: Path) -> None:
    more, context = tmp_path / "more", tmp_path / "c"
    more.mkdir()
    context.mkdir()
    (more / "file").write_text("from elsewhere\n")
    (tmp_path / "token").write_text("hush")
    (context / "Dockerfile").write_text(
        "FROM dockmagic/host\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size\n"
        "COPY --from=more file /file\nCMD cat /size /file\n"
    )
    flags = ["--secret", f"id=token,src={tmp_path}/token", "--build-context", f"more={more}"]
    done = dockmagic("build", "-t", "trusted", *flags, str(context), DOCKMAGIC_HOST=alone)
    assert done.returncode == 0, done.stderr
    assert "hush" not in done.stdout + done.stderr
    assert dockmagic("run", "--rm", "trusted", DOCKMAGIC_HOST=alone).stdout == "4\nfrom elsewhere\n"


def test_a_container_outlives_a_killed_engine(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with services.embedded(root) as url:
        client = docker.DockerClient(base_url=url)
        client.images.load(images.alpine())
        script = "echo before; until [ -e /go ]; do sleep 0.05; done; echo after; exit 7"
        container = client.containers.run("alpine", ["sh", "-c", script], detach=True)
        pid = services.listener(url)
        next(iter(container.logs(stream=True, follow=True)))
        os.kill(pid, signal.SIGKILL)
        client.close()
    with services.embedded(root) as url:
        client = docker.DockerClient(base_url=url)
        again = client.containers.get(container.id)
        assert again.status == "running"
        again.exec_run(["touch", "/go"])
        assert again.wait()["StatusCode"] == 7
        assert again.logs() == b"before\nafter\n"
        again.remove()
        client.close()


def test_the_dockmagic_program_without_an_engine_starts_one(tmp_path: Path) -> None:
    environment = {"DOCKMAGIC_HOST": "embedded", "DOCKMAGIC_ROOT": str(tmp_path / "root"), "HOME": str(tmp_path)}
    try:
        done = dockmagic("run", "--rm", "hello-world", **environment)
        assert "Hello from dockmagic!" in done.stdout, done.stderr
    finally:
        stopped: subprocess.CompletedProcess[str] = dockmagic("engine", "--stop", **environment)
        assert stopped.returncode == 0, stopped.stderr
