"""Waiting for a container's end or removal."""

from __future__ import annotations

import threading
from typing import Any

from dockmagic.engine.services.containers.record import Container
from dockmagic.errors import InvalidParameter

CONDITIONS = ("not-running", "next-exit", "removed")


class Waiter:
    """One wait, begun when it is made, so that nothing that happens before :meth:`result` is missed.

    Raises InvalidParameter for an unknown condition.
    """

    def __init__(self, container: Container, condition: str) -> None:
        if condition not in CONDITIONS:
            raise InvalidParameter(f'invalid condition: "{condition}"')
        self._container = container
        self._condition = condition
        self._exits = container.exits
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """The client is gone: let :meth:`result` return."""
        self._cancelled.set()
        with self._container.lock:
            self._container.changed.notify_all()

    def result(self) -> dict[str, Any]:
        """The API's ContainerWaitResponse, once the condition holds."""
        container = self._container
        with container.lock:
            container.changed.wait_for(lambda: self._cancelled.is_set() or self._holds())
            answer: dict[str, Any] = {"StatusCode": container.record.exit_code}
            if container.record.error and self._condition != "removed":
                answer["Error"] = {"Message": container.record.error}
            return answer

    def _holds(self) -> bool:
        container = self._container
        if container.removed:
            return True
        if self._condition == "removed":
            return False
        if self._condition == "next-exit":
            return container.exits > self._exits
        # a restart policy may bring it back: its end is what was waited for (moby, State.SetRestarting)
        return not container.running or container.exits > self._exits
