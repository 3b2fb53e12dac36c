"""``%load_ext dockmagic`` and ``%unload_ext dockmagic``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ATTRIBUTE = "_dockmagic_extension"
"""Where a shell keeps what was registered with it."""

NAMES = ("docker", "dockerfile", "dockmagic")


def load(shell: InteractiveShell) -> None:
    """Register the magics and the completion; once, however often it is called. Starts nothing."""
    if getattr(shell, ATTRIBUTE, None) is not None:
        return
    from dockmagic.notebook.completion import Completion
    from dockmagic.notebook.inspection import Inspection
    from dockmagic.notebook.magics import DockerMagics

    magics = DockerMagics(shell)
    shell.register_magics(magics)
    completion = Completion(shell, magics)
    completion.install()
    inspection = Inspection(shell)
    inspection.install()
    setattr(shell, ATTRIBUTE, (magics, completion, inspection))


def unload(shell: InteractiveShell) -> None:
    """Take back everything :func:`load` registered."""
    registered: Any = getattr(shell, ATTRIBUTE, None)
    if registered is None:
        return
    magics, completion, inspection = registered
    inspection.remove()
    completion.remove()
    magics.close()
    for kind in ("line", "cell"):
        for name in NAMES:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(type(magics).__name__, None)
    setattr(shell, ATTRIBUTE, None)
