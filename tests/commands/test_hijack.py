"""Attached streams: nothing lost in the first segment, the end of standard input told, over TCP as well."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Iterator

import pytest

from dockmagic.commands.hijack import Chunked, demultiplex
from tests.commands.conftest import Shell


@contextlib.contextmanager
def over_tcp(path: str) -> Iterator[str]:
    """A TCP address in front of a unix socket, each direction closed by itself."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(path)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_over_tcp(run_engine: str) -> None:
    with over_tcp(run_engine.removeprefix("unix://")) as url:
        shell = Shell(url)
        assert shell.text("run", "--rm", "-i", "alpine", "wc", "-c", stdin=b"x" * 100_000).strip() == "100000"
        shell.session.close()


@pytest.mark.parametrize("attempt", range(10))
def test_nothing_is_lost_at_the_start(shell: Shell, attempt: int) -> None:
    assert shell.text("run", "--rm", "alpine", "echo", "first") == "first\n"


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def test_frames_are_given_as_they_come() -> None:
    whole = frame(1, b"out") + frame(2, b"err") + frame(1, b"") + frame(1, b"more")
    assert list(demultiplex(io.BytesIO(whole))) == [(1, b"out"), (2, b"err"), (1, b"more")]
    pieces = Chunked(iter([whole[:5], whole[5:9], whole[9:]]))
    assert b"".join(d for s, d in demultiplex(pieces) if s == 1) == b"outmore"


def test_a_stream_that_ends_early_gives_what_it_had() -> None:
    assert list(demultiplex(io.BytesIO(frame(1, b"whole") + frame(2, b"cut short")[:12]))) == [
        (1, b"whole"),
        (2, b"cut "),
    ]
