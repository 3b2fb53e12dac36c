"""A process's streams inside its shim: from its pipes or terminal to the log and the attachments, and back to stdin.

Backpressure is dockerd's: an attachment that doesn't read makes the process wait. But one client alone may not stop
the others: when there are several, the one that took nothing for STALL seconds is dropped.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable

from dockmagic.runtime.jsonlog import LogWriter
from dockmagic.runtime.loop import ERROR, HANGUP, READ, WRITE, Loop

CHUNK = 64 * 1024
HIGH = 512 * 1024
"""Bytes waiting for one attachment above which the process's output is no longer read."""
STALL = 10.0
"""Seconds after which an attachment that reads nothing is dropped, when others wait for it."""


class Stdin:
    """The way into the process: a pipe's writing end or the terminal. Made before the process, opened with it."""

    def __init__(self, loop: Loop, *, once: bool) -> None:
        self._loop = loop
        self._fd = -1
        self._buffer = bytearray()
        self._ending = False
        self._once = once
        self.closed = False
        self._watched = False
        self._relieved: list[Callable[[], None]] = []

    def open(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        self._flush()

    def write(self, data: bytes) -> None:
        if not self.closed:
            self._buffer += data
            self._flush()

    def full(self, relieved: Callable[[], None]) -> bool:
        """Whether a writer should stop; ``relieved`` is then called once when it may go on."""
        if self.closed or len(self._buffer) < HIGH:
            return False
        self._relieved.append(relieved)
        return True

    def attachment_ended(self) -> None:
        """An attachment's stdin is at its end; with ``once`` so is the process's."""
        if self._once:
            self._ending = True
            self._flush()

    def close(self) -> None:
        """Nothing more goes in."""
        if self.closed:
            return
        self.closed = True
        self._buffer.clear()
        if self._watched:
            self._loop.remove(self._fd)
            self._watched = False
        if self._fd >= 0:
            os.close(self._fd)
        self._wake()

    def _wake(self) -> None:
        waiting, self._relieved = self._relieved, []
        for relieved in waiting:
            relieved()

    def _flush(self, _mask: int = 0) -> None:
        if self._fd < 0 or self.closed:
            return
        try:
            while self._buffer:
                del self._buffer[: os.write(self._fd, self._buffer[:CHUNK])]
        except BlockingIOError:
            pass
        except OSError:  # EPIPE: the process closed its stdin. EIO: nobody has the terminal open
            self.close()
            return
        if not self._buffer and self._ending:
            self.close()
            return
        if bool(self._buffer) != self._watched:
            self._watched = not self._watched
            if self._watched:
                self._loop.add(self._fd, WRITE, self._flush)
            else:
                self._loop.remove(self._fd)
        if len(self._buffer) < HIGH:
            self._wake()


class Attachment:
    """A client of the streams. It is sent docker's frames (raw bytes with a terminal); what it sends goes to stdin."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        *,
        streams: frozenset[int],
        framed: bool,
        stdin: Stdin | None,
        changed: Callable[[Attachment], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._streams = streams
        self._framed = framed
        self._stdin = stdin
        self._changed = changed
        self._buffer = bytearray()
        self._finishing = False
        self._reading = True
        self.gone = False
        self.last_taken = time.monotonic()
        sock.setblocking(False)
        loop.add(sock.fileno(), READ, self._event)

    @property
    def full(self) -> bool:
        return not self.gone and len(self._buffer) >= HIGH

    def write(self, stream: int, data: bytes) -> None:
        if self.gone or stream not in self._streams:
            return
        if not self._buffer:
            self.last_taken = time.monotonic()
        if self._framed:
            self._buffer += struct.pack(">BxxxI", stream, len(data))
        self._buffer += data
        self._flush()

    def finish(self) -> None:
        """The output is at its end: send what waits, then close."""
        self._finishing = True
        self._flush()

    def drop(self) -> None:
        if self.gone:
            return
        self.gone = True
        self._buffer.clear()
        self._loop.remove(self._sock.fileno())
        self._sock.close()
        self._end_stdin()
        self._changed(self)

    def _end_stdin(self) -> None:
        self._reading = False
        if self._stdin is not None:
            stdin, self._stdin = self._stdin, None
            stdin.attachment_ended()

    def _event(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if mask & READ and self._reading and not self.gone:
            self._read()
        if mask & (HANGUP | ERROR) and not self.gone:
            if mask & READ and self._reading:
                return  # what it sent before it went is still being read
            self.drop()

    def _read(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            return
        if not data:
            self._end_stdin()
        elif self._stdin is not None:
            self._stdin.write(data)
            if self._stdin.full(self._resume):
                self._reading = False
        self._update()

    def _resume(self) -> None:
        if not self.gone and self._stdin is not None:
            self._reading = True
            self._update()

    def _update(self) -> None:
        if not self.gone:
            self._loop.change(self._sock.fileno(), (READ if self._reading else 0) | (WRITE if self._buffer else 0))

    def _flush(self) -> None:
        if self.gone:
            return
        was_full = self.full
        try:
            while self._buffer:
                del self._buffer[: self._sock.send(self._buffer[: 4 * CHUNK])]
                self.last_taken = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            self.drop()
            return
        if self._finishing and not self._buffer:
            self.drop()
            return
        self._update()
        if was_full and not self.full:
            self._changed(self)


class Streams:
    """The outputs of one process, and everyone who gets them."""

    def __init__(self, loop: Loop, log: LogWriter | None, stdin: Stdin | None, *, terminal: bool) -> None:
        self._loop = loop
        self._log = log
        self._stdin = stdin
        self._terminal = terminal
        self._attachments: list[Attachment] = []
        self._watchers: list[int] = []
        self._outputs: dict[int, int] = {}
        self._paused = False
        self._finished = False

    def attach(self, sock: socket.socket, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        streams = frozenset(number for number, wanted in ((1, stdout), (2, stderr)) if wanted)
        attachment = Attachment(
            self._loop,
            sock,
            streams=streams,
            framed=not self._terminal,
            stdin=self._stdin if stdin else None,
            changed=self._changed,
        )
        self._attachments.append(attachment)
        if self._finished:
            attachment.finish()

    def watch_log(self, fd: int) -> None:
        """Write a byte to the pipe ``fd`` whenever the log grows, and close it at the log's end."""
        os.set_blocking(fd, False)
        self._watchers.append(fd)
        if self._finished:
            self._end_watchers()

    def read_from(self, stream: int, fd: int) -> None:
        """``fd`` (a pipe or a terminal) gives the process's stream 1 or 2."""
        os.set_blocking(fd, False)
        self._outputs[stream] = fd
        self._loop.add(fd, READ, lambda mask: self._output(stream))

    @property
    def open(self) -> bool:
        """Whether output may still come."""
        return bool(self._outputs)

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def finished(self) -> bool:
        return self._finished

    @property
    def idle(self) -> bool:
        """Nobody is attached any more."""
        return not self._attachments

    def finish(self) -> None:
        """No output is wanted any more: end the log and the attachments (they close when they have read all)."""
        for stream in tuple(self._outputs):
            self._end_output(stream)
        if self._finished:
            return
        self._finished = True
        self._end_watchers()
        if self._log is not None:
            self._log.close()
        for attachment in tuple(self._attachments):
            attachment.finish()

    def deadline(self) -> float | None:
        """When :meth:`drop_stalled` should be called, in time.monotonic's seconds; None: not needed."""
        if not self._paused or len(self._attachments) < 2:
            return None
        return min(a.last_taken for a in self._attachments if a.full) + STALL

    def drop_stalled(self) -> None:
        due = time.monotonic() - STALL
        for attachment in tuple(self._attachments):
            if attachment.full and attachment.last_taken <= due:
                attachment.drop()

    def _changed(self, attachment: Attachment) -> None:
        if attachment.gone and attachment in self._attachments:
            self._attachments.remove(attachment)
        self._pause(any(a.full for a in self._attachments))

    def _pause(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            for fd in self._outputs.values():
                self._loop.change(fd, 0 if paused else READ)

    def _output(self, stream: int) -> None:
        if self._paused:
            return
        try:
            data = os.read(self._outputs[stream], CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if not data:
            self._end_output(stream)
            return
        if self._log is not None and self._log.write(stream, data):
            self._notify()
        for attachment in tuple(self._attachments):
            attachment.write(stream, data)
        self._pause(any(a.full for a in self._attachments))

    def _end_output(self, stream: int) -> None:
        fd = self._outputs.pop(stream)
        self._loop.remove(fd)
        os.close(fd)
        if self._log is not None and self._log.end(stream):
            self._notify()

    def _notify(self) -> None:
        for fd in tuple(self._watchers):
            try:
                os.write(fd, b"\n")
            except BlockingIOError:
                pass  # it has not looked yet: what is in the pipe will wake it
            except OSError:
                self._watchers.remove(fd)
                os.close(fd)

    def _end_watchers(self) -> None:
        for fd in self._watchers:
            os.close(fd)
        self._watchers.clear()
