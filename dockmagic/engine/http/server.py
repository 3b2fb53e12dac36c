"""The server: a thread a connection, on a unix socket that only its owner may use."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Mapping

from dockmagic.engine import log
from dockmagic.engine.http.request import Hangup, Request, read_request
from dockmagic.engine.http.response import Hijack, JsonMessages, Response, Stream, encode_json
from dockmagic.engine.http.router import Handler, Router
from dockmagic.engine.http.wire import BadRequest, ClientGone, Wire
from dockmagic.errors import DockmagicError, NotFound

_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 409: "Conflict", 413: "Content Too Large", 429: "Too Many Requests",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip
_DRAIN = 256 * 1024
"""bytes of an unread body that are read away to keep a connection; a longer rest closes it (as Go's server does)"""


class HangupWatcher:
    """One thread that notices when clients of long answers close their connections."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._watched: dict[int, Hangup] = {}
        threading.Thread(target=self._run, name="hangups", daemon=True).start()

    def watch(self, sock: socket.socket, hangup: Hangup) -> None:
        with self._lock:
            self._watched[sock.fileno()] = hangup
        # EPOLLHUP comes unasked, when both directions are closed; a half-closed connection is not gone.
        self._epoll.register(sock.fileno(), select.EPOLLONESHOT)

    def forget(self, sock: socket.socket) -> None:
        with self._lock:
            known = self._watched.pop(sock.fileno(), None)
        if known is not None:
            self._epoll.unregister(sock.fileno())

    def _run(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                with self._lock:
                    hangup = self._watched.get(fd)
                if hangup is not None:
                    hangup.trigger()


class Activity:
    """How many requests are being answered, and since when none is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._last = time.monotonic()

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._running -= 1
            self._last = time.monotonic()

    def idle_seconds(self) -> float:
        """Seconds since the last request ended; 0 while one runs."""
        with self._lock:
            return 0.0 if self._running else time.monotonic() - self._last


class _Date:
    """The Date header, formatted once a second."""

    def __init__(self) -> None:
        self._at = 0
        self._text = ""

    def __str__(self) -> str:
        now = int(time.time())
        if now != self._at:
            self._text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
            self._at = now
        return self._text


class Server:
    """Answers connections of ``listener``; ``headers`` go with every answer.

    ``early``'s routes are there at once, the others with :meth:`open`: until then requests for them wait.
    """

    def __init__(self, listener: socket.socket, early: Router, headers: Mapping[str, str], uids: set[int]) -> None:
        self._listener = listener
        self._router = early
        self._whole = threading.Event()
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._uids = uids
        self._date = _Date()
        self._hangups = HangupWatcher()
        self.activity = Activity()

    def open(self, router: Router) -> None:
        """The engine is ready: from now on ``router`` answers."""
        self._router = router
        self._whole.set()

    def serve(self) -> None:
        """Accept until the listener is closed (by :meth:`stop`)."""
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(sock,), name="http", daemon=True).start()

    def stop(self) -> None:
        """Accept no more; what is being answered goes on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _connection(self, sock: socket.socket) -> None:
        with sock:
            if _peer_uid(sock) not in self._uids:
                return
            wire = Wire(sock)
            try:
                while self._exchange(wire):
                    pass
            except BadRequest as error:
                text = f"400 Bad Request: {error}".encode()
                head = (
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
                )
                with contextlib.suppress(ClientGone):
                    wire.send(head.encode() + text)
            except (ClientGone, OSError):
                pass

    def _exchange(self, wire: Wire) -> bool:
        """Answer one request; whether the connection can have another."""
        received = read_request(wire)
        if received is None:
            return False
        request, keep = received
        with self.activity:
            if not self._answer(wire, request, keep):
                return False
        return keep and self._drain(request)

    def _answer(self, wire: Wire, request: Request, keep: bool) -> bool:
        try:
            answer = self._handler(request)(request)
        except Exception as error:  # the edge of the engine: every error becomes an answer
            self._send(wire, request, _error(request, error), keep)
            return True
        if isinstance(answer, Response):
            self._send(wire, request, answer, keep)
            return True
        if isinstance(answer, Hijack):
            self._hijack(wire, request, answer)
            return False
        return self._stream(wire, request, answer, keep)

    def _handler(self, request: Request) -> Handler:
        if not self._whole.is_set():
            try:
                return self._router.find(request)
            except NotFound:
                self._whole.wait()
        return self._router.find(request)

    def _send(self, wire: Wire, request: Request, answer: Response, keep: bool) -> None:
        head = self._head(answer.status, answer.headers, keep)
        if answer.status not in {204, 304}:
            head += f"Content-Length: {len(answer.body)}\r\n"
        data = f"{head}\r\n".encode("latin-1")
        wire.send(data if request.method == "HEAD" or answer.status in {204, 304} else data + answer.body)

    def _stream(self, wire: Wire, request: Request, answer: Stream, keep: bool) -> bool:
        headers = {"Content-Type": answer.content_type, **answer.headers, "Transfer-Encoding": "chunked"}
        sink = _Chunks(wire, f"{self._head(200, headers, keep)}\r\n".encode("latin-1"))
        if request.method == "HEAD" or not answer.lazy:
            sink.begin()
        if request.method == "HEAD":
            return True
        self._hangups.watch(wire.sock, request.hangup)
        request.hangup.descriptor = wire.sock.fileno()
        try:
            answer.produce(sink)
        except (ClientGone, BadRequest):
            return False
        except Exception as error:  # the edge of the engine: every error becomes an answer
            failure = _error(request, error)
            if not sink.begun:
                self._send(wire, request, failure, keep)
                return True
            if not answer.content_type.startswith("application/json"):
                return False  # a broken stream is all such a client can be told
            message = str(error) or type(error).__name__
            JsonMessages(sink)({"errorDetail": {"message": message}, "error": message})
        finally:
            self._hangups.forget(wire.sock)
        sink.end()
        return not request.hangup.gone.is_set()

    def _hijack(self, wire: Wire, request: Request, answer: Hijack) -> None:
        if "upgrade" in request.headers:
            head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        else:
            head = "HTTP/1.1 200 OK\r\n"
        wire.send(f"{head}Content-Type: {answer.content_type}\r\n{self._headers}\r\n".encode("latin-1"))
        self._hangups.watch(wire.sock, request.hangup)
        try:
            answer.run(wire.sock, wire.take_rest())
        finally:
            self._hangups.forget(wire.sock)

    def _head(self, status: int, headers: Mapping[str, str], keep: bool) -> str:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        closing = "" if keep else "Connection: close\r\n"
        return f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\n{self._headers}Date: {self._date}\r\n{closing}{fields}"

    def _drain(self, request: Request) -> bool:
        left = _DRAIN
        while not request.raw_body.finished:
            data = request.body.read(min(left, 65536))
            if not data:
                break
            left -= len(data)
            if left <= 0:
                return False
        return True


class _Chunks:
    """A sink that writes HTTP chunks; the headers go with the first."""

    def __init__(self, wire: Wire, head: bytes) -> None:
        self._wire = wire
        self._head = head
        self._lock = threading.Lock()
        self.begun = False

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            self._wire.send(self._head)

    def write(self, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            size = b"%x\r\n" % len(data)
            head = b"" if self.begun else self._head
            self.begun = True
            if len(data) < 65536:
                self._wire.send(head + size + data + b"\r\n")
            else:  # not worth a copy
                self._wire.send(head + size)
                self._wire.send(data)
                self._wire.send(b"\r\n")

    def end(self) -> None:
        self.begin()
        self._wire.send(b"0\r\n\r\n")


def _error(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, DockmagicError) else 500
    if isinstance(error, BadRequest):
        status = 400
    elif not isinstance(error, DockmagicError):  # not raised on purpose
        log.error(f"{request.method} {request.path}", error)
    if status == 304:
        return Response(304)
    message = str(error) or type(error).__name__
    return Response(status, encode_json({"message": message}), {"Content-Type": "application/json"})


def _peer_uid(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def listen(path: str) -> socket.socket:
    """A listening socket at ``path`` with mode 0600, in a folder made with mode 0700 when it is missing."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(256)
    return listener
