"""Unpacked layers and roots made of them. Begin at service.py; what a layer's folder holds is record.py's.

One format on disk for every tier: a layer's tree as it is, and a record of what it hides. An overlay gets the
kernel's markers from that record, a clone needs none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dockmagic.database import Database
from dockmagic.images.content import Content
from dockmagic.images.snapshots.service import LayerSnapshots

__all__ = ["LayerSnapshots", "open_snapshots"]


def open_snapshots(
    root: Path,
    content: Content,
    database: Database,
    *,
    overlay: str,
    id_mapping: Literal["host", "range", "single"] | str,
    copy_up: bool = False,
) -> LayerSnapshots:
    """The snapshots below ``root``. One engine at a time opens a root.

    ``overlay``: mount options that make an overlay work here (``""``: none needed, ``userxattr``), or ``no``.
    ``id_mapping``: with ``single`` owners, set-id bits and devices are recorded (dockmagic.ownership), else they are
    the kernel's. ``copy_up``: the runtime copies a file up before it is written, so that a clone may be of links.
    """
    form: Literal["", "userxattr", "no"] = "userxattr" if overlay == "userxattr" else "no" if overlay == "no" else ""
    owners: Literal["real", "recorded"] = "recorded" if id_mapping == "single" else "real"
    return LayerSnapshots(root, content, database, form, owners, copy_up)
