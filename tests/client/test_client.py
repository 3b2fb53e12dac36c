"""Which engine is chosen, and what is said when none answers."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic import client, home
from dockmagic.errors import InvalidParameter, Unavailable


@contextlib.contextmanager
def listening(path: Path, status: int = 200) -> Iterator[str]:
    """An engine that knows /_ping only."""

    class Ping(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

        def get_request(self):  # type: ignore[no-untyped-def]
            request, _ = super().get_request()
            return request, ("unix", 0)

    with Server(str(path), Ping) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No variable set, no configuration, no usual socket."""
    for name in ("DOCKMAGIC_HOST", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(client, "usual_sockets", list)
    return tmp_path


def write_context(folder: Path, name: str, host: str, current: bool = True) -> None:
    meta = client.context_folder(name)
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    if current:
        (folder / "config" / "config.json").write_text(json.dumps({"currentContext": name}))


def test_our_own_engine_is_the_last_resort(nowhere: Path) -> None:
    chosen = client.choose()
    assert chosen.embedded
    assert chosen.url == f"unix://{home.default_socket(home.data_root())}"


def test_the_order_of_choices(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(nowhere / "usual.sock") as usual:
        monkeypatch.setattr(client, "usual_sockets", lambda: [f"unix://{nowhere}/dead.sock", usual])
        assert client.choose() == client.Choice(usual, "socket")
        write_context(nowhere, "work", "tcp://10.0.0.1:2375")
        assert client.choose() == client.Choice("tcp://10.0.0.1:2375", "context work")
        monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.2:2375")
        assert client.choose().url == "tcp://10.0.0.2:2375"
        monkeypatch.setenv("DOCKMAGIC_HOST", "tcp://10.0.0.3:2375")
        assert client.choose().url == "tcp://10.0.0.3:2375"
        monkeypatch.setenv("DOCKMAGIC_HOST", "embedded")
        assert client.choose().embedded


def test_a_context_named_by_the_environment_wins_over_the_current_one(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_context(nowhere, "current", "tcp://10.0.0.1:2375")
    write_context(nowhere, "asked", "tcp://10.0.0.2:2375", current=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "asked")
    assert client.choose().url == "tcp://10.0.0.2:2375"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert client.choose().embedded


def test_a_missing_context_is_named(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(InvalidParameter, match='context "gone": context not found'):
        client.choose()


def test_a_contexts_certificates_are_used(nowhere: Path) -> None:
    write_context(nowhere, "safe", "tcp://10.0.0.1:2376")
    files = client.context_folder("safe", "tls") / "docker"
    files.mkdir(parents=True)
    (files / "ca.pem").write_text("ca")
    chosen = client.choose()
    assert chosen.tls == (str(files / "ca.pem"), "", "")
    assert chosen.verify


def test_an_answer_that_is_no_success_is_no_engine(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock", 500) as url:
        assert not client.answers(url)
    with listening(tmp_path / "t.sock") as url:
        assert client.answers(url)
    assert not client.answers(f"unix://{tmp_path}/none.sock")


def test_a_damaged_configuration_is_no_configuration(nowhere: Path) -> None:
    (nowhere / "config").mkdir()
    (nowhere / "config" / "config.json").write_text("{")
    assert client.choose().embedded


def test_no_engine_is_said_in_dockers_words(nowhere: Path) -> None:
    url = f"unix://{nowhere}/none.sock"
    with pytest.raises(Unavailable, match=f"Cannot connect to the Docker daemon at {url}. Is the docker"):
        client.connect(client.Choice(url, "DOCKER_HOST"))


def test_elsewhere_than_on_linux_the_message_says_what_to_start(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Unavailable, match="Docker Desktop"):
        client.ensure_embedded()


def test_an_engine_that_does_not_come_up_shows_the_end_of_its_log(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKMAGIC_ROOT", str(nowhere / "root"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(nowhere))
    real = subprocess.Popen

    def broken(command: list[str], **options: object) -> object:
        return real([sys.executable, "-c", "import sys; sys.exit('the disk is full')"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", broken)
    with pytest.raises(Unavailable) as failure:
        client.ensure_embedded()
    assert "ended with exit code 1" in str(failure.value)
    assert "the disk is full" in str(failure.value)


def test_importing_the_client_is_quick() -> None:
    """Without docker-py: that comes when an engine is asked."""
    code = "import dockmagic.client, sys; print([m for m in ('docker', 'requests', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
