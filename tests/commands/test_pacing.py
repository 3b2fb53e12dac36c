"""A live place: drawn at once, not too often, and never without its last state."""

from __future__ import annotations

import threading

from dockmagic.commands.pacing import Pacer


def test_the_last_change_is_drawn_though_it_comes_too_soon() -> None:
    drawn: list[int] = []
    state = [0]
    both = threading.Event()

    def draw() -> None:
        drawn.append(state[0])
        if len(drawn) == 2:
            both.set()

    pacer = Pacer(draw, pause=0.05, tick=60)
    for value in range(1, 20):
        state[0] = value
        pacer.touch()
    assert both.wait(10)
    pacer.stop()
    assert drawn == [1, 19]


def test_it_ticks_and_stops() -> None:
    ticked = threading.Semaphore(0)
    pacer = Pacer(ticked.release, pause=0.001, tick=0.001)
    pacer.touch()
    for _ in range(3):
        assert ticked.acquire(timeout=10)
    pacer.stop()
    drained = 0
    while ticked.acquire(blocking=False):
        drained += 1
    pacer.touch()
    assert not ticked.acquire(timeout=0.05)
