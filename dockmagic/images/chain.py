"""Chain ids: the names of stacks of layers (OCI image-spec, config.md, "Layer ChainID")."""

from __future__ import annotations

import hashlib


def chain_id(parent: str, diff_id: str) -> str:
    """The name of the stack ``parent`` (``""`` is the empty one) with the layer ``diff_id`` on top."""
    if not parent:
        return diff_id
    return "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest()
