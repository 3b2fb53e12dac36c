"""Images as archives: ``docker load``, ``docker save``, ``docker import``.

loading.py reads what docker save wrote, in any version, and OCI layouts, from a stream that can't be rewound;
members.py keeps an archive's files meanwhile. saving.py writes what docker 25 and newer write, which older ones load
too. importing.py makes an image of a plain root file system.
"""

from __future__ import annotations

from dockmagic.images.archive.importing import import_tar
from dockmagic.images.archive.loading import load
from dockmagic.images.archive.saving import save

__all__ = ["import_tar", "load", "save"]
