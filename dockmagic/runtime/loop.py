"""A shim's event loop: descriptors, what to do when they are ready, and one deadline."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import TypeAlias

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLHUP
ERROR = select.EPOLLERR

Handler: TypeAlias = Callable[[int], None]


class Loop:
    """Level-triggered epoll. Handlers get the event mask; they may add and remove descriptors, their own too."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._masks: dict[int, int] = {}

    def add(self, fd: int, mask: int, handler: Handler) -> None:
        self._poll.register(fd, mask)
        self._handlers[fd] = handler
        self._masks[fd] = mask

    def change(self, fd: int, mask: int) -> None:
        """Wait for other events; the empty mask leaves hang-up and error only."""
        if self._masks[fd] != mask:
            self._poll.modify(fd, mask)
            self._masks[fd] = mask

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        """Add, change or (for the empty mask) remove: for descriptors whose hang-up must not be told all the time."""
        if not mask:
            self.remove(fd)
        elif fd in self._masks:
            self.change(fd, mask)
        else:
            self.add(fd, mask, handler)

    def remove(self, fd: int) -> None:
        """Forget ``fd`` (before it is closed); nothing when it is not known."""
        if self._handlers.pop(fd, None) is not None:
            del self._masks[fd]
            self._poll.unregister(fd)

    def turn(self, deadline: float | None = None) -> bool:
        """Wait until something is ready or ``deadline`` (time.monotonic) is past, and handle it; False: nothing was."""
        timeout = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
        events = self._poll.poll(timeout)
        for fd, mask in events:
            handler = self._handlers.get(fd)
            if handler is not None:  # an earlier handler of this turn may have removed it
                handler(mask)
        return bool(events)

    def close(self) -> None:
        self._poll.close()
