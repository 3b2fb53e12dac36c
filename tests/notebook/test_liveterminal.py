"""A terminal in the output, without a browser: the messages of the widget are the test's own."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from dockmagic.notebook import liveterminal
from dockmagic.notebook.console import CellConsole
from dockmagic.notebook.liveterminal import LiveTerminal, possible


class Widget:
    """What the terminal needs of a widget. ``draws`` makes it report at once, as a browser does."""

    draws = True
    model_id = "m"

    def __init__(self) -> None:
        self.comm = type("Comm", (), {})()
        self.sent: list[tuple[dict[str, Any], bytes]] = []
        self.closed = False

    def on_msg(self, take: Any) -> None:
        self.take = take
        if self.draws:
            self.say({"type": "ready", "view": "v", "rows": 10, "cols": 40})

    def say(self, content: dict[str, Any], *buffers: bytes) -> None:
        self.take(self, content, [memoryview(b) for b in buffers])

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.sent.append((content, buffers[0]))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def shown(ip: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed and updated, in order; the browser is :class:`Widget`."""
    told: list[Any] = []

    class Handle:
        def update(self, data: Any, raw: bool) -> None:
            told.append(data)

    def display(data: Any, raw: bool, display_id: bool) -> Handle:
        told.append(data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(liveterminal, "_widget_class", lambda: Widget)
    monkeypatch.setattr(liveterminal, "_failed", threading.Event())
    return told


def test_a_terminal_takes_input_and_leaves_text(shown: list[Any]) -> None:
    sizes: list[tuple[int, int]] = []
    terminal = LiveTerminal(lambda rows, columns: sizes.append((rows, columns)))
    assert terminal.open()
    widget = terminal._widget
    widget.say({"type": "in"}, b"ls\r")
    assert terminal.stdin.read(100) == b"ls\r"
    terminal.write(b"\x1b[1mbin\x1b[0m  etc\r\n")
    widget.say({"type": "size", "rows": 5, "cols": 20})
    widget.say({"type": "size", "rows": 0, "cols": -1})
    terminal.close()
    assert sizes == [(10, 40), (5, 20)]
    assert b"".join(data for content, data in widget.sent if content["type"] == "out") == b"\x1b[1mbin\x1b[0m  etc\r\n"
    assert widget.closed
    assert shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"] == "m"
    assert shown[-1] == {"text/plain": "bin  etc"}
    widget.say({"type": "in"}, b"too late")


def test_a_page_loaded_again_sees_what_was_there(shown: list[Any]) -> None:
    terminal = LiveTerminal(None)
    assert terminal.open()
    terminal.write(b"before")
    terminal.close()
    terminal._widget.say({"type": "ready", "view": "w", "rows": 10, "cols": 40})
    assert terminal._widget.sent[-1] == ({"type": "replay", "view": "w"}, b"before")


def test_typing_that_nobody_reads_ends_with_the_terminal(shown: list[Any]) -> None:
    terminal = LiveTerminal(None)
    assert terminal.open()
    typing = threading.Thread(target=terminal._widget.say, args=({"type": "in"}, b"x" * (1 << 20)))
    typing.start()
    assert os.read(terminal.stdin.fileno(), 1) == b"x"  # it has begun
    terminal.close()
    typing.join(20)
    assert not typing.is_alive()


def test_a_frontend_that_draws_none_is_not_asked_again(shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Widget, "draws", False)
    monkeypatch.setattr(liveterminal, "PATIENCE", 0.01)
    assert not LiveTerminal(None).open()
    assert shown[-1]["text/plain"] == ""

    class Kernel:
        kernel_info = {"supported_features": ["kernel subshells"]}  # noqa: RUF012

    assert not possible(Kernel())


def test_a_kernel_that_reads_nothing_meanwhile_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveterminal, "_failed", threading.Event())

    class Old:
        kernel_info: dict[str, Any] = {}  # noqa: RUF012

    assert not possible(Old())
    assert not possible(None)


def test_a_cell_without_a_kernel_is_no_terminal(ip: InteractiveShell) -> None:
    console = CellConsole(ip)
    assert not console.terminal
    assert not console.watched
