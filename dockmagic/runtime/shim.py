"""A shim: the small process that holds one container's process (or one exec), from before it starts to its end.

It is forked by the zygote and outlives the engine. It owns the process's pipes or terminal, writes the log, serves
attachments and control connections, waits for the process and leaves ``exit.json`` (before it closes its control
connections: their hang-up means that the file is there). Its own death takes the process with it.

In its folder: ``shim.sock`` (control connections, see :data:`OPERATIONS`), ``exit.json``, ``shim.log`` after a failure.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time
from typing import Any

from dockmagic.runtime import messages
from dockmagic.runtime.jsonlog import LogWriter, timestamp
from dockmagic.runtime.loop import READ, Loop
from dockmagic.runtime.messages import Message
from dockmagic.runtime.protocols import Launched, StartError, Tier
from dockmagic.runtime.spec import Limits, Spec
from dockmagic.runtime.stdio import Stdio, death_of
from dockmagic.runtime.streams import Stdin, Streams

GRACE = 2.0
"""Seconds that output is still taken after the process ended, when children of it keep its pipes open."""
LINGER = 30.0
"""Seconds that attachments get to read what waits for them after all has ended."""

OPERATIONS = ("start", "status", "signal", "resize", "pause", "resume", "update", "attach", "watch")
"""What a control connection may ask: ``{"op": …}`` is answered by one message, ``{}`` or with ``error``. Attach and
watch bring a descriptor and are not answered."""


class Shim:
    """One process's keeper. :meth:`run` returns when there is nothing left to do."""

    def __init__(self, tier: Tier, spec: Spec, folder: str, control: socket.socket, target: int) -> None:
        self._tier = tier
        self._spec = spec
        self._folder = folder
        self._target = target
        self._loop = Loop()
        self._controls: dict[int, socket.socket] = {}
        self._owner = control.fileno()
        self._launched: Launched | None = None
        self._console = self._death = -1
        self._code: int | None = None
        self._error = ""
        self._recorded = False
        self._over = False
        self._until: float | None = None
        self._prepare_folder()
        log = LogWriter(spec.log_path, spec.log_max_size, spec.log_max_files) if spec.log_path else None
        self._stdin = Stdin(self._loop, once=spec.stdin_once) if spec.stdin else None
        self._streams = Streams(self._loop, log, self._stdin, terminal=spec.terminal)
        self._add_control(control)

    def _prepare_folder(self) -> None:
        os.makedirs(self._folder, exist_ok=True)
        try:
            os.unlink(os.path.join(self._folder, messages.EXIT_RECORD))
        except FileNotFoundError:
            pass
        self._listener = messages.listen(self._folder, messages.SHIM_SOCKET)
        self._loop.add(self._listener.fileno(), READ, self._accept)

    def run(self) -> None:
        while not self._over:
            self._turn()

    def _turn(self) -> None:
        draining = self._code is not None and not self._recorded
        stalled = self._streams.deadline()
        if draining and self._streams.open and not self._streams.paused:
            deadline: float | None = 0.0  # only what is there: children may hold the pipes for ever
        else:
            deadline = min((t for t in (stalled, self._until) if t is not None), default=None)
        busy = self._loop.turn(deadline)
        if stalled is not None:
            self._streams.drop_stalled()
        if self._code is not None and not self._recorded:
            drained = draining and not busy and not self._streams.paused
            if drained or not self._streams.open:
                self._record()
        self._finish_when_due()

    def _finish_when_due(self) -> None:
        if not self._recorded:
            return
        past = self._until is not None and time.monotonic() >= self._until
        if self._streams.open and not past:
            return
        if not self._streams.finished:
            self._streams.finish()
            self._until = time.monotonic() + LINGER
            past = False
        if self._streams.idle or past:
            self._over = True

    # --- control connections ---

    def _accept(self, _mask: int) -> None:
        self._add_control(self._listener.accept()[0])

    def _add_control(self, sock: socket.socket) -> None:
        self._controls[sock.fileno()] = sock
        self._loop.add(sock.fileno(), READ, lambda mask, sock=sock: self._request(sock))  # type: ignore[misc]

    def _request(self, sock: socket.socket) -> None:
        received = messages.receive(sock)
        if received is None:
            self._drop_control(sock)
            return
        message, fds = received
        operation = message.get("op", "")
        if operation in ("attach", "watch") and len(fds) == 1:
            self._take(operation, message, fds[0])
            return
        for fd in fds:
            os.close(fd)
        answer: Message
        try:
            answer = self._operate(operation, message)
        except StartError as error:
            answer = {"error": str(error), "code": error.code}
        except OSError as error:
            answer = {"error": error.strerror or str(error), "errno": error.errno}
        try:
            messages.send(sock, answer)
        except OSError:
            self._drop_control(sock)
            return
        if operation == "start" and "error" in answer:
            self._fail(answer)

    def _drop_control(self, sock: socket.socket) -> None:
        number = sock.fileno()
        if number < 0:
            return
        self._loop.remove(number)
        del self._controls[number]
        sock.close()
        if number == self._owner:
            self._owner = -1
            if self._launched is None and self._code is None:
                self._streams.finish()
                self._close_sockets()
                self._over = True
            elif self._spec.tethered and self._launched is not None and self._code is None:
                self._launched.signal(signal.SIGKILL)

    def _take(self, operation: str, message: Message, fd: int) -> None:
        if operation == "watch":
            self._streams.watch_log(fd)
            return
        self._streams.attach(
            socket.socket(fileno=fd),
            stdin=bool(message.get("stdin")),
            stdout=bool(message.get("stdout", True)),
            stderr=bool(message.get("stderr", True)),
        )

    def _operate(self, operation: str, message: Message) -> Message:
        if operation == "status":
            return {"pid": self._pid, "id": self._spec.id, "terminal": self._spec.terminal}
        if operation == "start":
            return {"pid": self._start()}
        launched = self._launched
        if launched is None or self._code is not None:
            return {"error": "process is not running", "errno": 3}  # ESRCH
        if operation == "signal":
            launched.signal(int(message["number"]))
        elif operation == "resize":
            self._resize(int(message["rows"]), int(message["columns"]))
        elif operation in ("pause", "resume", "update"):
            action = getattr(launched, operation, None)
            if action is None:
                return {"error": f"this tier can't {operation} a container"}
            action(*([Limits(**message["limits"])] if operation == "update" else []))
        else:
            return {"error": f"unknown operation {operation}"}
        return {}

    def _resize(self, rows: int, columns: int) -> None:
        if self._console >= 0:
            import fcntl
            import termios

            fcntl.ioctl(self._console, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def _pid(self) -> int:
        return self._launched.pid if self._launched is not None and self._code is None else 0

    # --- the process ---

    def _start(self) -> int:
        if self._launched is not None or self._code is not None:
            raise StartError("process is already started", 128)
        ends = Stdio(self._spec, own_console=getattr(self._tier, "opens_console", False))
        try:
            if self._target:
                launched = self._tier.execute(self._target, self._spec, ends.child)
            else:
                launched = self._tier.launch(self._spec, ends.child)
        except BaseException:
            ends.close()
            raise
        finally:
            ends.close_child()
        self._launched = launched
        console = getattr(launched, "console", -1)
        if self._spec.terminal:
            self._console = console if console >= 0 else ends.master
            self._streams.read_from(1, self._console)
            if self._stdin is not None:
                self._stdin.open(os.dup(self._console))
        else:
            self._streams.read_from(1, ends.stdout)
            self._streams.read_from(2, ends.stderr)
            if self._stdin is not None:
                self._stdin.open(ends.stdin)
        keeper = getattr(launched, "keeper", None)
        if keeper is not None:
            self._loop.add(keeper.listener, READ, lambda mask: self._asked(keeper, mask))
        self._death = death_of(launched)
        self._loop.add(self._death, READ, self._died)
        return launched.pid

    def _asked(self, keeper: Any, mask: int) -> None:
        if mask & READ:
            keeper.answer()
        else:  # the last process with this filter has ended
            self._loop.remove(keeper.listener)
            keeper.close()

    def _died(self, _mask: int) -> None:
        launched = self._launched
        assert launched is not None
        self._loop.remove(self._death)
        os.close(self._death)
        self._code = launched.wait()
        if self._stdin is not None:
            self._stdin.close()

    def _fail(self, answer: Message) -> None:
        """The process could not be started: leave that as its exit, and end."""
        self._code = int(answer.get("code", 128))
        self._error = str(answer["error"])
        self._streams.finish()
        self._record()

    def _record(self) -> None:
        """Leave exit.json, then hang up on everyone who waits for it."""
        self._recorded = True
        self._until = time.monotonic() + GRACE
        record: dict[str, Any] = {
            "code": self._code,
            "finished_at": timestamp(time.time_ns()),
            "oom_killed": bool(getattr(self._launched, "oom_killed", False)),
            "error": self._error,
        }
        path = os.path.join(self._folder, messages.EXIT_RECORD)
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(record, file)
        os.replace(path + ".new", path)
        self._close_sockets()

    def _close_sockets(self) -> None:
        self._loop.remove(self._listener.fileno())
        self._listener.close()
        try:
            os.unlink(os.path.join(self._folder, messages.SHIM_SOCKET))
        except OSError:
            pass  # the folder may have been removed with the container
        for number, sock in self._controls.items():
            self._loop.remove(number)
            sock.close()
        self._controls.clear()
