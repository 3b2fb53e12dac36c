"""What happened: the last events and everybody who listens."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from dockmagic.engine.filters import Filters, labels_match

_KEPT = 256  # moby, daemon/events/events.go: eventsLimit
_TYPES: tuple[str, ...] = (
    "builder",
    "config",
    "container",
    "daemon",
    "image",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
)
_TYPES += ("volume",)
Event = dict[str, Any]


class Subscription:
    """One listener's queue. ``close`` ends its iteration."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        self._queue.put(event)

    def close(self) -> None:
        self._queue.put(None)

    def next(self, timeout: float | None) -> Event | None:
        """The next event; None when closed or when ``timeout`` seconds have passed."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None


class Events:
    """The engine's event log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._listeners: set[Subscription] = set()

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None) -> None:
        """Tell that ``action`` happened to the ``kind`` of thing whose id or name is ``actor``."""
        at = time.time_ns()
        event: Event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": actor, "Attributes": dict(attributes or {})},
            "scope": "local",
            "time": at // 10**9,
            "timeNano": at,
        }
        if kind == "container":
            event = {"status": action, "id": actor, "from": event["Actor"]["Attributes"].get("image", ""), **event}
        elif kind == "image":
            event = {"status": action, "id": actor, **event}
        with self._lock:
            self._kept.append(event)
            for listener in self._listeners:
                listener.put(event)

    def subscribe(self) -> Subscription:
        """A listener for every event from now on. Hand it to :meth:`unsubscribe`."""
        listener = Subscription()
        with self._lock:
            self._listeners.add(listener)
        return listener

    def unsubscribe(self, listener: Subscription) -> None:
        with self._lock:
            self._listeners.discard(listener)

    def listeners(self) -> int:
        """How many follow."""
        with self._lock:
            return len(self._listeners)

    def follow(self, listener: Subscription, filters: Filters, since: int, until: int) -> Iterator[Event]:
        """Kept events after ``since`` (nanoseconds; 0: none), then new ones up to ``until`` (0: until closed).

        A filter that is none is passed over, as dockerd passes over it here.
        """
        with self._lock:
            kept = list(self._kept) if since or until else []
        last = 0
        for event in kept:
            if event["timeNano"] >= since and (not until or event["timeNano"] <= until) and _wanted(event, filters):
                yield event
            last = event["timeNano"]
        while True:
            timeout = (until - time.time_ns()) / 1e9 if until else None
            if timeout is not None and timeout <= 0:
                return
            new = listener.next(timeout)
            if new is None:
                return
            if new["timeNano"] > last and _wanted(new, filters):
                yield new


def _wanted(event: Event, filters: Filters) -> bool:
    actor = event["Actor"]["ID"]
    attributes = event["Actor"]["Attributes"]
    kind = event["Type"]
    action = event["Action"]
    if "event" in filters and not any(action == e or action.startswith(e + ":") for e in filters["event"]):
        return False
    for name, value in (("type", kind), ("scope", event["scope"])):
        if name in filters and value not in filters[name]:
            return False
    if not labels_match(filters, attributes):
        return False
    for name in _TYPES:
        if name not in filters:
            continue
        known = {actor, attributes.get("name", ""), attributes.get("container", "") if name == "container" else ""}
        if name == "image":
            known |= {attributes.get("image", "")} | {full.rpartition(":")[0] for full in known}
            if kind not in {"image", "container"}:
                return False
        elif kind != name and not (name == "container" and kind == "network"):
            return False
        if not any(wanted in known or (len(wanted) >= 12 and actor.startswith(wanted)) for wanted in filters[name]):
            return False
    return True
