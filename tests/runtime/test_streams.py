"""Streams without a process: pipes in, sockets out."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from dockmagic.runtime import streams
from dockmagic.runtime.loop import Loop
from dockmagic.runtime.streams import Stdin, Streams


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def _turn(loop: Loop, output: Streams, seconds: float = 2.0) -> None:
    """Until nothing is left to do, dropping those that stall as the shim does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stalled = output.deadline()
        busy = loop.turn(min(end, stalled if stalled is not None else time.monotonic() + 0.02))
        if stalled is not None:
            output.drop_stalled()
        elif not busy:
            return


def _output(loop: Loop) -> tuple[Streams, int]:
    output = Streams(loop, None, None, terminal=True)
    near, far = os.pipe()
    output.read_from(1, near)
    return output, far


def _attach(output: Streams) -> socket.socket:
    ours, theirs = socket.socketpair()
    output.attach(theirs, stdin=False, stdout=True, stderr=True)
    return ours


def test_frames(loop: Loop) -> None:
    output = Streams(loop, None, None, terminal=False)
    far = []
    for stream in (1, 2):
        near, end = os.pipe()
        output.read_from(stream, near)
        far.append(end)
    client = _attach(output)
    os.write(far[0], b"out")
    _turn(loop, output)
    os.write(far[1], b"err")
    for end in far:
        os.close(end)
    _turn(loop, output)
    output.finish()
    with client:
        assert client.recv(100) == struct.pack(">BxxxI", 1, 3) + b"out" + struct.pack(">BxxxI", 2, 3) + b"err"
        assert client.recv(100) == b""


def test_who_reads_nothing_is_dropped_when_others_wait(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALL", 0.2)
    output, far = _output(loop)
    os.set_blocking(far, False)
    stuck, reader = _attach(output), _attach(output)
    reader.setblocking(False)
    sent = got = 0
    end = time.monotonic() + 10
    while sent < 8_000_000 or got < sent:
        assert time.monotonic() < end, (sent, got)
        if sent < 8_000_000:
            try:
                sent += os.write(far, b"x" * 65536)
            except BlockingIOError:
                pass
        _turn(loop, output, 0.3)
        try:
            while data := reader.recv(1 << 20):
                got += len(data)
                _turn(loop, output, 0.05)
        except BlockingIOError:
            pass
    os.close(far)
    _turn(loop, output)
    output.finish()
    stuck.settimeout(5)
    left = 0
    while data := stuck.recv(1 << 20):
        left += len(data)
    assert left < sent
    stuck.close()
    reader.close()


def test_a_single_slow_reader_is_waited_for(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALL", 0.0)
    output, far = _output(loop)
    os.set_blocking(far, False)
    client = _attach(output)
    sent = 0
    for _ in range(100):
        try:
            sent += os.write(far, b"x" * 65536)
        except BlockingIOError:
            break
        _turn(loop, output, 0.05)
    assert sent < 6_000_000
    assert output.paused
    os.close(far)
    got = 0
    client.setblocking(False)
    while got < sent:
        _turn(loop, output, 0.05)
        got += len(client.recv(1 << 20))
    output.finish()
    client.close()


def test_stdin_is_written_in_order_and_ends_once(loop: Loop) -> None:
    near, far = os.pipe()
    stdin = Stdin(loop, once=True)
    stdin.write(b"before ")
    stdin.open(far)
    data = b"y" * 300_000
    stdin.write(data)
    stdin.attachment_ended()
    got = b""
    os.set_blocking(near, False)
    while True:
        loop.turn(time.monotonic() + 0.01)
        try:
            block = os.read(near, 1 << 20)
        except BlockingIOError:
            continue
        if not block:
            break
        got += block
    os.close(near)
    assert got == b"before " + data
    assert stdin.closed


def test_stdin_of_a_process_that_does_not_read(loop: Loop) -> None:
    near, far = os.pipe()
    stdin = Stdin(loop, once=False)
    stdin.open(far)
    relieved: list[bool] = []
    stdin.write(b"z" * (streams.HIGH + 100_000))
    assert stdin.full(lambda: relieved.append(True))
    os.close(near)
    loop.turn(time.monotonic() + 1)
    assert stdin.closed  # EPIPE
    assert relieved == [True]
    stdin.write(b"ignored")
    assert not stdin.full(lambda: None)


def test_an_attachment_after_the_end_ends(loop: Loop) -> None:
    output, far = _output(loop)
    os.close(far)
    _turn(loop, output)
    output.finish()
    with _attach(output) as client:
        assert client.recv(10) == b""
    assert output.idle


def test_log_watchers_hear_of_growth_and_of_the_end(loop: Loop, tmp_path: object) -> None:
    from dockmagic.runtime.jsonlog import LogWriter

    output = Streams(loop, LogWriter(f"{tmp_path}/log"), None, terminal=False)
    near, far = os.pipe()
    output.read_from(1, near)
    watch, end = os.pipe()
    output.watch_log(end)
    os.write(far, b"half")
    _turn(loop, output)
    os.write(far, b" line\n")
    _turn(loop, output)
    assert os.read(watch, 100) == b"\n"
    os.close(far)
    _turn(loop, output)
    output.finish()
    assert os.read(watch, 100) == b""
    os.close(watch)
