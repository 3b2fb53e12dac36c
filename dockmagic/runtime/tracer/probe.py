"""Whether the tracer can work here: it tries, in a child, and says what it tried and what that means."""

from __future__ import annotations

from dockmagic.runtime.protocols import Capability


def probe() -> Capability:
    """Placeholder of the shape until the trials are in."""
    return Capability("tracer", True)
