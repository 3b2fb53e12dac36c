"""Bytes between a hijacked connection and a process's streams, both ways, each with its own end."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import termios
import time

from dockmagic.detachkeys import DetachKeys

_PATIENCE = 0.5
"""Seconds a client gets to read a hijack's headers before the first bytes follow them anyway."""
_LOOK = 0.0005
_CHUNK = 256 * 1024


class Headers:
    """Whether a client has read the headers of its hijack.

    docker-py reads the stream past its HTTP buffer: a frame that is there when it reads the headers would be lost
    (measured: in the same write 0 of 40 complete, back to back 21). The socket tells how much of what was sent is still
    unread (SIOCOUTQ, unix(7)), so the first frame waits for just as long as it must.
    """

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._until = time.monotonic() + _PATIENCE
        self._read = False

    def read(self) -> bool:
        if not self._read:
            try:
                unread = struct.unpack("i", fcntl.ioctl(self._client, termios.TIOCOUTQ, bytes(4)))[0]
            except OSError:
                unread = 0
            self._read = not unread or time.monotonic() > self._until
        return self._read

    def wait(self) -> None:
        """Return when it has."""
        while not self.read():
            time.sleep(_LOOK)


class _Way:
    """One direction: what was read and is not yet written."""

    def __init__(self, source: socket.socket, target: socket.socket, waiting: bytes = b"", *, tell: bool) -> None:
        self.source = source
        self.tell = tell
        """Shut the target's side down at the end; the client's is left to :func:`finish`."""
        self.target = target
        self.waiting = memoryview(waiting)
        self.ended = False
        """The source gives no more."""
        self.closed = False
        """The target has been told so, or takes no more."""

    def read(self) -> bytes:
        try:
            data = self.source.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.ended = True
        return data

    def write(self) -> None:
        try:
            if self.waiting:
                self.waiting = self.waiting[self.target.send(self.waiting) :]
        except BlockingIOError:
            return
        except OSError:
            self.closed = True
            self.waiting = memoryview(b"")
            return
        if self.ended and not self.waiting:
            self.closed = True
            if self.tell:
                with contextlib.suppress(OSError):
                    self.target.shutdown(socket.SHUT_WR)


def pump(
    client: socket.socket, stream: socket.socket, typed: bytes, keys: DetachKeys | None = None, *, frame: bool = False
) -> bool:
    """Carry bytes until the stream's output has ended (True), the client is gone, or it typed the detach keys.

    The client's half-close goes on to the stream; output goes on after it. Hand the client to :func:`finish` then.
    ``frame`` puts raw output (a terminal's) into frames of standard output, for a client that asked for them.
    """
    headers = Headers(client)
    client.setblocking(False)
    stream.setblocking(False)
    if keys and typed:
        typed, _ = keys.pass_on(typed)
    up, down = _Way(client, stream, typed, tell=True), _Way(stream, client, tell=False)
    if typed:
        up.write()
    poll = select.poll()
    while not down.closed:
        held = not headers.read()
        interest = {client.fileno(): 0, stream.fileno(): 0}
        if not up.closed:
            side, event = (stream, select.POLLOUT) if up.waiting else (client, select.POLLIN)
            interest[side.fileno()] |= event
        if not held:
            side, event = (client, select.POLLOUT) if down.waiting else (stream, select.POLLIN)
            interest[side.fileno()] |= event
        for fd, events in interest.items():
            poll.register(fd, events)
        ready = dict(poll.poll(1 if held else None))
        if ready.get(client.fileno(), 0) & (select.POLLHUP | select.POLLERR):
            return False  # gone for good: a half-closed client is not
        if not held and ready.get(stream.fileno(), 0) & (select.POLLIN | select.POLLHUP) and not down.waiting:
            output = down.read()
            down.waiting = memoryview(as_frame(output) if frame and output else output)
            down.write()
        elif ready.get(client.fileno(), 0) & select.POLLOUT:
            down.write()
        if ready.get(stream.fileno(), 0) & (select.POLLOUT | select.POLLERR) and up.waiting:
            up.write()
        elif ready.get(client.fileno(), 0) & select.POLLIN and not up.waiting and not up.closed:
            data = up.read()
            if keys and data:
                data, detached = keys.pass_on(data)
                if detached:
                    return False
            up.waiting = memoryview(data)
            up.write()
    return True


def tell(client: socket.socket, text: str, *, framed: bool) -> None:
    """Send ``text`` as the stream's standard output, when the client has read the headers."""
    data = text.encode()
    Headers(client).wait()
    with contextlib.suppress(OSError):
        client.sendall(as_frame(data) if framed else data)


def as_frame(data: bytes) -> bytes:
    """``data`` as one frame of standard output."""
    return struct.pack(">BxxxI", 1, len(data)) + data


def finish(client: socket.socket) -> None:
    """Close a hijacked connection so that the client sees the end, not a reset.

    On a unix socket, closing with unread bytes resets the peer: end both ways, read what is left, then close.
    """
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
        client.setblocking(False)
        while client.recv(_CHUNK):
            pass
    client.close()
