"""Healthchecks: a command run in the container every so often, and what it says of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from dockmagic.engine import clock
from dockmagic.engine.services.containers.record import Container, Health
from dockmagic.engine.services.events import Events

_SECOND = 10**9
_KEPT = 5
_OUTPUT = 4096
"""moby, daemon/health.go: maxLogEntries, maxOutputLen."""
Probe = Callable[[Container, list[str], float], "tuple[int, bytes]"]
"""Run a command in a container for at most some seconds: its exit code (-1: took too long) and its output."""


class HealthMonitor:
    """Runs the healthchecks of running containers, a thread each."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._stops: dict[str, threading.Event] = {}
        self.probe: Probe = lambda container, command, timeout: (0, b"")

    def begin(self, container: Container) -> None:
        """The container runs now."""
        command = _command(container)
        if not command:
            return
        container.health = Health()
        stop = self._stops[container.id] = threading.Event()
        threading.Thread(target=self._run, args=(container, command, stop), name="health", daemon=True).start()

    def end(self, container: Container) -> None:
        """It has ended."""
        stop = self._stops.pop(container.id, None)
        if stop is not None:
            stop.set()
            if container.health:
                container.health.status = (
                    "unhealthy" if container.health.status == "starting" else container.health.status
                )

    def _run(self, container: Container, command: list[str], stop: threading.Event) -> None:
        check = container.record.config["Healthcheck"]
        interval = (check.get("Interval") or 30 * _SECOND) / _SECOND
        start_interval = (check.get("StartInterval") or 5 * _SECOND) / _SECOND
        timeout = (check.get("Timeout") or 30 * _SECOND) / _SECOND
        grace = clock.parse(container.record.started_at) + (check.get("StartPeriod") or 0)
        retries = check.get("Retries") or 3
        health = container.health
        while health is not None:
            starting = health.status == "starting" and clock.parse(clock.now()) < grace
            if stop.wait(min(interval, start_interval) if starting else interval):
                return
            begun = clock.now()
            code, output = self.probe(container, command, timeout)
            if stop.is_set():
                return
            if code == -1:
                output = f"Health check exceeded timeout ({_duration(timeout)})".encode()
            self._note(container, health, begun, code, output, grace=grace, retries=retries)

    def _note(
        self, container: Container, health: Health, begun: str, code: int, output: bytes, *, grace: int, retries: int
    ) -> None:
        text = output[:_OUTPUT].decode("utf-8", "replace")
        result: dict[str, Any] = {"Start": begun, "End": clock.now(), "ExitCode": code, "Output": text}
        with container.lock:
            health.log = [*health.log, result][-_KEPT:]
            before = health.status
            if code == 0:
                health.failing_streak = 0
                health.status = "healthy"
            elif before != "starting" or clock.parse(clock.now()) >= grace:
                health.failing_streak += 1
                if health.failing_streak >= retries:
                    health.status = "unhealthy"
            changed = health.status != before
        if changed:
            action = f"health_status: {health.status}"
            self._events.publish("container", action, container.id, container.attributes())


def _command(container: Container) -> list[str]:
    test = (container.record.config["Healthcheck"] or {}).get("Test") or []
    if not test or test[0] == "NONE":
        return []
    if test[0] == "CMD":
        return list(test[1:])
    shell = container.record.config["Shell"] or ["/bin/sh", "-c"]
    return [*shell, *test[1:]]


def _duration(seconds: float) -> str:
    return f"{seconds:g}s"
