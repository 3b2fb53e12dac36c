"""dockmagic: Docker in the notebook.

``%load_ext dockmagic`` gives IPython ``%docker`` and ``%%dockerfile``. Where a Docker daemon answers, they drive it;
where none can exist, dockmagic's own engine does the same work. Importing this package is quick and starts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Called by ``%load_ext dockmagic``."""
    from dockmagic.notebook.extension import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Called by ``%unload_ext dockmagic``."""
    from dockmagic.notebook.extension import unload

    unload(ipython)
