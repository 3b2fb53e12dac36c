"""A spec in, a running process out: tiers, the probe, zygote and shims, terminals.

Nothing here knows images or HTTP. Begin at spec.py and protocols.py; opening.py makes a Runtime, zygote.py forks
shims, shim.py is one container's keeper, namespaces/ and tracer/ are the tiers, process.py is what the engine holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from dockmagic.runtime.opening import ShimRuntime


def open_runtime(folder: Path, tier: str | None = None) -> ShimRuntime:
    """See :func:`dockmagic.runtime.opening.open_runtime`; imported here only when called (it is for Linux only)."""
    from dockmagic.runtime.opening import open_runtime

    return open_runtime(folder, tier)
