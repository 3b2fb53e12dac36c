"""The engine's own process: its lock, its end, what outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.engine.conftest import LOOP, Raw
from tests.engine.test_life import until
from tests.support import images


class Engine:
    """An engine of the test's own."""

    def __init__(self, root: Path, path: Path, *options: str) -> None:
        self.root = root
        self.path = path
        self.log = root.parent / "log"
        self.process = self.start(*options)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "dockmagic",
            "engine",
            "--host",
            f"unix://{self.path}",
            "--root",
            str(self.root),
        ]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen([*command, *options], stdout=out, stderr=out)
        until(lambda: self.answers() or self.process.poll() is not None, 30)
        return self.process

    def answers(self) -> bool:
        try:
            raw = Raw(str(self.path))
        except OSError:
            return False
        try:
            return raw.ask("GET", "/_ping").status == 200
        finally:
            raw.close()

    def client(self) -> docker.APIClient:
        return docker.APIClient(base_url=f"unix://{self.path}", timeout=60)


@pytest.fixture
def engine_of_its_own(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Starts engines on one root; the last one is ended with what it runs."""
    made: list[Engine] = []
    with tempfile.TemporaryDirectory(prefix="dm-") as folder:

        def make(*options: str) -> Engine:
            engine = Engine(tmp_path / "root", Path(folder) / "e.sock", *options)
            made.append(engine)
            return engine

        yield make
        for engine in made:
            if engine.process.poll() is None:
                engine.process.terminate()
                engine.process.wait(40)


def with_image(engine: Engine) -> docker.APIClient:
    client = engine.client()
    list(client.load_image(images.busybox()))
    return client


def test_it_ends_on_sigterm_and_takes_its_socket_along(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    engine.process.terminate()
    assert engine.process.wait(20) == 0
    assert not engine.path.exists()


def test_it_stops_its_containers_when_it_is_told_to_end(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    id = client.create_container("busybox", LOOP)["Id"]
    client.start(id)
    until(lambda: client.logs(id) == b"up\n")
    pid = client.inspect_container(id)["State"]["Pid"]
    engine.process.terminate()
    assert engine.process.wait(30) == 0
    assert not os.path.exists(f"/proc/{pid}")
    engine.start()
    shown = engine.client().inspect_container(id)["State"]
    assert (shown["Status"], shown["ExitCode"]) == ("exited", 0)


def test_one_engine_a_root(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    command = [
        sys.executable,
        "-m",
        "dockmagic",
        "engine",
        "--host",
        f"unix://{engine.path}2",
        "--root",
        str(engine.root),
    ]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "another engine serves" in second.stderr
    assert engine.answers()


def test_it_ends_by_itself_when_idle(engine_of_its_own) -> None:
    engine = engine_of_its_own("--idle", "0.5")
    assert engine.process.wait(20) == 0


def test_it_does_not_end_while_a_container_runs(engine_of_its_own) -> None:
    engine = engine_of_its_own("--idle", "0.5")
    client = with_image(engine)
    id = client.create_container("busybox", ["sleep", "3"])["Id"]
    client.start(id)
    begun = time.monotonic()
    assert engine.process.wait(30) == 0
    assert time.monotonic() - begun >= 2.5


def test_containers_outlive_a_killed_engine(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    script = "i=0; while [ ! -e /go ]; do echo $i; i=$((i+1)); sleep 0.04; done; exit 7"
    id = client.create_container("busybox", ["sh", "-c", script])["Id"]
    client.start(id)
    until(lambda: client.logs(id).count(b"\n") > 3)
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    engine.start()
    client = engine.client()
    assert client.inspect_container(id)["State"]["Running"]
    before = client.logs(id).count(b"\n")
    until(lambda: client.logs(id).count(b"\n") > before)
    client.exec_start(client.exec_create(id, ["touch", "/go"]))
    assert client.wait(id)["StatusCode"] == 7
    lines = client.logs(id).split()
    assert lines == [str(n).encode() for n in range(len(lines))]


def test_an_exit_while_no_engine_was_there_is_known(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    id = client.create_container("busybox", ["sh", "-c", "sleep 1; echo last; exit 9"])["Id"]
    client.start(id)
    pid = client.inspect_container(id)["State"]["Pid"]
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    until(lambda: not os.path.exists(f"/proc/{pid}"))
    engine.start()
    client = engine.client()
    shown = client.inspect_container(id)["State"]
    assert (shown["Status"], shown["ExitCode"]) == ("exited", 9)
    assert client.logs(id) == b"last\n"


def test_a_new_engine_can_exec_stop_and_attach(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    id = client.create_container("busybox", LOOP)["Id"]
    client.start(id)
    until(lambda: client.logs(id) == b"up\n")
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    engine.start()
    client = engine.client()
    assert client.exec_start(client.exec_create(id, ["echo", "still"])) == b"still\n"
    client.stop(id, timeout=10)
    assert client.inspect_container(id)["State"]["ExitCode"] == 0


def test_a_restart_policy_brings_containers_back(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    host = client.create_host_config(restart_policy={"Name": "always"})
    id = client.create_container("busybox", LOOP, host_config=host)["Id"]
    client.start(id)
    engine.process.terminate()
    engine.process.wait(30)
    engine.start()
    until(lambda: engine.client().inspect_container(id)["State"]["Running"])


def test_images_containers_and_volumes_are_kept(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    client.create_volume("kept")
    host = client.create_host_config(binds=["kept:/data"])
    id = client.create_container("busybox", ["sh", "-c", "echo x > /data/f"], name="kept", host_config=host)["Id"]
    client.start(id)
    client.wait(id)
    engine.process.terminate()
    engine.process.wait(30)
    engine.start()
    client = engine.client()
    assert client.inspect_image("busybox")["RepoTags"] == ["busybox:latest"]
    assert client.inspect_container("kept")["Id"] == id
    assert client.inspect_volume("kept")["Name"] == "kept"
    again = client.create_container("busybox", ["cat", "/data/f"], host_config=host)["Id"]
    client.start(again)
    client.wait(again)
    assert client.logs(again) == b"x\n"


def test_what_a_crash_left_without_a_record_goes(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    kept = client.create_container("busybox", ["true"])["Id"]
    engine.process.terminate()
    engine.process.wait(30)
    orphan = engine.root / "containers" / ("ab" * 32)
    orphan.mkdir()
    engine.start()
    until(lambda: engine.client().inspect_container(kept)["Id"] == kept and not orphan.exists())


def test_a_bridge_outlives_a_killed_engine_and_goes_with_the_next(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    client.start(client.create_container("busybox", ["true"])["Id"])
    bridges = _bridges(client)
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    engine.start()
    engine.client().info()  # it is whole
    engine.process.terminate()
    engine.process.wait(30)
    assert not bridges & set(os.listdir("/sys/class/net"))


def test_nothing_is_left_on_the_machine(engine_of_its_own) -> None:
    engine = engine_of_its_own()
    client = with_image(engine)
    id = client.create_container("busybox", ["true"])["Id"]
    client.start(id)
    client.wait(id)
    bridges = _bridges(client)
    engine.process.terminate()
    engine.process.wait(30)
    assert not bridges & set(os.listdir("/sys/class/net"))
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if str(engine.root) in line]


def _bridges(client: docker.APIClient) -> set[str]:
    """The names that the engine's bridges have in the kernel."""
    return {f"dm-{network['Id'][:12]}" for network in client.networks()}
