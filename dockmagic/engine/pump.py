"""Bytes between a hijacked connection and a process's streams, both ways, each with its own end."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import termios
import time

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


class DetachKeys:
    """Finds the key sequence that detaches (``ctrl-p,ctrl-q``) in what a terminal's user types."""

    def __init__(self, keys: str) -> None:
        self._sequence = _codes(keys or "ctrl-p,ctrl-q")
        self._matched = 0

    def pass_on(self, data: bytes) -> tuple[bytes, bool]:
        """What goes on to the process, and whether the sequence is complete."""
        out = bytearray()
        for byte in data:
            if byte == self._sequence[self._matched]:
                self._matched += 1
                if self._matched == len(self._sequence):
                    return bytes(out), True
                continue
            out += self._sequence[: self._matched]
            self._matched = 1 if byte == self._sequence[0] else 0
            if not self._matched:
                out.append(byte)
        return bytes(out), False


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


def pump(client: socket.socket, stream: socket.socket, typed: bytes, keys: DetachKeys | None = None) -> None:
    """Carry bytes until the stream's output has ended, the client is gone, or it typed the detach keys.

    The client's half-close goes on to the stream; output goes on after it. Hand the client to :func:`finish` then.
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
            return  # gone for good: a half-closed client is not
        if not held and ready.get(stream.fileno(), 0) & (select.POLLIN | select.POLLHUP) and not down.waiting:
            down.waiting = memoryview(down.read())
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
                    return
            up.waiting = memoryview(data)
            up.write()


def tell(client: socket.socket, text: str, *, framed: bool) -> None:
    """Send ``text`` as the stream's standard output, when the client has read the headers."""
    data = text.encode()
    Headers(client).wait()
    with contextlib.suppress(OSError):
        client.sendall(struct.pack(">BxxxI", 1, len(data)) + data if framed else data)


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


def _codes(keys: str) -> bytes:
    codes = bytearray()
    for key in keys.split(","):
        if len(key) == 1:
            codes += key.encode()
        elif key.startswith("ctrl-") and len(key) == 6 and (key[5].isalpha() or key[5] in "@[\\]^_"):
            codes.append(ord(key[5].upper()) & 0x1F)
        else:
            from dockmagic.errors import InvalidParameter

            raise InvalidParameter(f"Invalid detach keys ({keys}) provided")
    return bytes(codes)
