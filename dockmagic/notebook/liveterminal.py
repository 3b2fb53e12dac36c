"""A terminal in a cell's output: xterm.js in the browser, its keys and its screen over the kernel's own messages.

It works while the cell runs, so the browser's messages must be read meanwhile: by a kernel that has subshells
(ipykernel 7), from a frontend that uses them for widgets (JupyterLab 4.4, Notebook 7.4). Elsewhere :func:`possible` is
false, or the terminal does not report in time, and the caller goes on line by line.
"""

from __future__ import annotations

import contextvars
import importlib.util
import os
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic.notebook.transcript import Transcript
from dockmagic.views.view import clean

if TYPE_CHECKING:
    from dockmagic.commands.console import Resize

PATIENCE = 15.0
"""Seconds that a frontend has to draw the terminal."""

REPLAYED = 256 << 10
"""How many of the last bytes a view that comes later (a page loaded again) is shown."""

PIECE, PAUSE = 16 << 10, 0.03
"""At most so many bytes every so many seconds: a server drops messages of a kernel that writes over 1 MB a second."""

WAITING = 256 << 10
"""How many bytes may wait to be sent; a container that writes faster waits itself."""

_failed = threading.Event()
"""Set when a terminal was tried in this kernel and did not come up; it is not tried again."""


def possible(kernel: Any) -> bool:
    """Whether a terminal is worth trying: anywidget is installed, and the kernel reads messages while a cell runs."""
    if _failed.is_set() or kernel is None or importlib.util.find_spec("anywidget") is None:
        return False
    return "kernel subshells" in (kernel.kernel_info.get("supported_features") or [])


def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@cache
def _widget_class() -> Any:
    """The widget; xterm.js' files as they are, each in a function that gives them the ``exports`` they look for."""
    import anywidget

    def exports(name: str, source: str) -> str:
        return (
            f"const {name} = (() => {{ const module = {{ exports: {{}} }}, exports = module.exports;\n"
            f"{source}\nreturn module.exports; }})();\n"
        )

    class Terminal(anywidget.AnyWidget):
        _esm = (
            exports("xterm", _asset("xterm/xterm.js"))
            + exports("fitAddon", _asset("xterm/addon-fit.js"))
            + _asset("terminal.js")
        )
        _css = _asset("xterm/xterm.css")

    return Terminal


class LiveTerminal:
    """One terminal, from :meth:`open` to :meth:`close`. ``resize`` is told its rows and columns."""

    def __init__(self, resize: Resize | None) -> None:
        self._resize = resize
        self._ready = threading.Event()
        self._lock = threading.Condition()
        self._typing = threading.Lock()
        self._pending = bytearray()
        self._shown = bytearray()
        self._transcript = Transcript()
        self._closed = False
        self._widget: Any = None
        self._handle: Any = None
        self._sender: threading.Thread | None = None
        reading, self._keys = os.pipe()
        self.stdin: BinaryIO = os.fdopen(reading, "rb", buffering=0)

    def open(self) -> bool:
        """Show it and wait until it is there; False, and nothing left of it, when the frontend does not draw it."""
        from IPython import display

        self._widget = _widget_class()()
        # ipykernel 7.4 would hand the browser's answers to the shell that this cell keeps busy.
        self._widget.comm._reply_subshell_for = None
        self._widget.on_msg(self._take)
        view = {"model_id": self._widget.model_id, "version_major": 2, "version_minor": 1}
        data = {"text/plain": "a terminal, while the cell runs", "application/vnd.jupyter.widget-view+json": view}
        self._handle = display.display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call,unused-ignore]
        try:
            arrived = self._ready.wait(PATIENCE)
        except KeyboardInterrupt:
            self.close()
            raise
        if not arrived:
            _failed.set()
            self.close()
            return False
        run = contextvars.copy_context().run  # a kernel knows by it whose output this is
        self._sender = threading.Thread(target=run, args=(self._send,), daemon=True, name="docker-terminal")
        self._sender.start()
        return True

    def write(self, data: bytes) -> None:
        """Show what the container wrote; waits when the frontend has much to show still."""
        with self._lock:
            while len(self._pending) > WAITING and not self._closed:
                self._lock.wait(0.5)
            self._pending += data
            self._lock.notify_all()

    def close(self) -> None:
        """Take it away; what it showed stays under the cell as text."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        if self._sender is not None:
            self._sender.join(10)
        self.stdin.close()  # what is being typed fails now
        with self._typing:
            os.close(self._keys)
            self._keys = -1
        self._transcript.feed(bytes(self._pending))
        text = clean(self._transcript.text)
        self._handle.update({"text/plain": text, "text/html": ""} if not text else {"text/plain": text}, raw=True)
        self._widget.close()

    def _take(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """A message of the browser's, in the thread that reads for the widget."""
        kind = content.get("type")
        if kind == "in":
            self._press(bytes(buffers[0]))
        elif kind == "size":
            self._sized(int(content["rows"]), int(content["cols"]))
        elif kind == "ready":
            self._sized(int(content["rows"]), int(content["cols"]))
            with self._lock:
                widget.send({"type": "replay", "view": content.get("view")}, [bytes(self._shown)])
            self._ready.set()

    def _press(self, data: bytes) -> None:
        """Bytes of the keyboard or the clipboard, at the pace at which the container reads them."""
        with self._typing:
            while data and self._keys >= 0:
                try:
                    data = data[os.write(self._keys, data[:4096]) :]
                except OSError:  # the container has ended
                    return

    def _sized(self, rows: int, columns: int) -> None:
        if not (0 < rows < 10000 and 0 < columns < 10000):
            return
        with self._lock:
            self._transcript.rows, self._transcript.columns = rows, columns
        if self._resize is not None:
            self._resize(rows, columns)

    def _send(self) -> None:
        """Send what is written, in pieces, until the end; a close lets what waits go out, not more."""
        while True:
            with self._lock:
                while not self._pending and not self._closed:
                    self._lock.wait()
                if not self._pending:
                    return
                piece = bytes(self._pending[:PIECE])
                del self._pending[:PIECE]
                self._shown += piece
                del self._shown[:-REPLAYED]
                self._transcript.feed(piece)
                self._widget.send({"type": "out"}, [piece])
                self._lock.notify_all()
            time.sleep(PAUSE)
