"""What a namespaces tier stands on, found out once by the engine and given to every container."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ground:
    """Plain facts; they travel to the zygote."""

    rootless: bool
    """Inside a user namespace: device nodes can't be made, mounts' flags are locked."""
    single_id: bool
    """Only one id is mapped: chown and the like answer success without doing anything."""
    asks: bool
    """With one id: the kernel can ask the shim about chown and the like, so that they are remembered."""
    last_capability: int
    """The highest this kernel knows."""
    capabilities: int
    """Those the engine holds, a mask: a container can't get more."""
