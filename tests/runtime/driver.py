"""Runs in a child process, as some user: opens the runtime and does what the test asks over stdin and stdout.

A request is a pickled (object, method, args, kwargs), an answer (True, value) or (False, exception). Objects live here
and are known to the test by number: 0 is the :class:`Driver`.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from dockmagic.runtime import open_runtime
from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Exit, Spec

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Stream:
    """An attachment: frames told apart."""

    def __init__(self, sock: socket.socket, framed: bool) -> None:
        self._sock = sock
        self._framed = framed

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def end_input(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._sock.close()

    def read_some(self, size: int = 65536) -> bytes:
        return self._sock.recv(size)

    def read_until(self, text: bytes) -> bytes:
        """Raw bytes up to and with ``text``; all there is when it never comes."""
        got = b""
        while text not in got:
            data = self._sock.recv(1)
            if not data:
                break
            got += data
        return got

    def read_all(self) -> dict[int, bytes]:
        """What came on each stream until the end; a terminal's is stream 1."""
        with self._sock, self._sock.makefile("rb") as file:
            if not self._framed:
                return {1: file.read(), 2: b""}
            got = {1: b"", 2: b""}
            while header := file.read(8):
                stream, size = struct.unpack(">BxxxI", header)
                got[stream] += file.read(size)
            return got


class Driver:
    """What a test can ask for."""

    def __init__(self, folder: str, tier: str | None, own_network: bool) -> None:
        if own_network:  # what is done to networks must not touch the machine's
            from dockmagic.runtime import libc
            from dockmagic.runtime.namespaces.network import raise_loopback

            libc.unshare(libc.CLONE_NEWNET)
            raise_loopback()
        self.folder = Path(folder)
        self._runtime = open_runtime(self.folder / "runtime", tier)
        self._count = 0

    def capability(self) -> Any:
        return self._runtime.capability

    def spec(self, args: tuple[str, ...], fields: dict[str, Any]) -> Spec:
        self._count += 1
        fields = dict(fields)
        fields.setdefault("id", f"c{os.getpid()}-{self._count}")
        fields.setdefault("env", (PATH,))
        fields.setdefault("rootfs", str(self.folder / "rootfs"))
        return Spec(args=args, **fields)

    def prepare(self, *args: str, **fields: Any) -> Any:
        spec = self.spec(args, fields)
        return self._runtime.prepare(spec, self.folder / spec.id)

    def prepare_exec(self, container: Any, *args: str, **fields: Any) -> Any:
        spec = self.spec(args, fields)
        return self._runtime.prepare_exec(spec, self.folder / spec.id, container)

    def attach(self, process: Any, framed: bool = True, **which: bool) -> Stream:
        return Stream(process.attach(**which), framed)

    def run(self, *args: str, **fields: Any) -> tuple[int, bytes, bytes]:
        """Run to the end: exit code, stdout, stderr. A StartError's code and message when it does not start."""
        return self._finish(self.prepare(*args, **fields), bool(fields.get("terminal")))

    def run_exec(self, container: Any, *args: str, **fields: Any) -> tuple[int, bytes, bytes]:
        return self._finish(self.prepare_exec(container, *args, **fields), bool(fields.get("terminal")))

    def _finish(self, process: Any, terminal: bool) -> tuple[int, bytes, bytes]:
        stream = Stream(process.attach(), not terminal)
        try:
            process.start()
        except StartError as error:
            process.close()
            return error.code, b"", str(error).encode()
        got = stream.read_all()
        ended = process.wait()
        process.close()
        return ended.code, got[1], got[2]

    def find(self, identifier: str) -> Any:
        return self._runtime.find(self.folder / identifier)

    def describe(self, value: Any) -> Any:
        """An Exit as it is, a Process as its pid."""
        return value if value is None or isinstance(value, Exit) else value.pid

    def pid_of(self, process: Any) -> int:
        return int(process.pid)

    @property
    def runtime(self) -> Any:
        return self._runtime

    def close(self) -> None:
        self._runtime.close()

    def call(self, function: Any, *args: Any) -> Any:
        """Run a function of a test module here."""
        return function(self, *args)


def main() -> None:
    channel_in, channel_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    objects: dict[int, Any] = {}
    plain = (int, float, str, bytes, bool, tuple, list, dict, type(None), Exit)
    try:
        objects[0] = Driver(sys.argv[1], sys.argv[2] or None, sys.argv[3] == "own")
        answer: tuple[bool, Any] = (True, None)
    except Exception as error:  # told to the test, whatever it is
        answer = (False, error)
    while True:
        pickle.dump(answer, channel_out)
        channel_out.flush()
        try:
            number, method, args, kwargs = pickle.load(channel_in)
        except EOFError:
            return
        args = [objects[a.number] if isinstance(a, Ref) else a for a in args]
        try:
            value = getattr(objects[number], method)(*args, **kwargs)
            if not isinstance(value, plain) and type(value).__module__ != "dockmagic.runtime.protocols":
                objects[len(objects)] = value
                value = Ref(len(objects) - 1)
            answer = (True, value)
        except Exception as error:  # told to the test, whatever it is
            answer = (False, error)


class Ref:
    """An object of the driver's, as the test knows it."""

    def __init__(self, number: int) -> None:
        self.number = number


if __name__ == "__main__":
    import importlib

    # As the module that tests know, so that what is pickled has the same name on both sides
    importlib.import_module("tests.runtime.driver").main()
