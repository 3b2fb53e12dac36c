"""``python -m dockmagic``: the engine or the kernel's installation by its first word, else the command-line program."""

from __future__ import annotations

import sys


def main() -> int:
    """The exit status."""
    if sys.argv[1:2] == ["engine"]:
        from dockmagic.engine.main import main as engine

        return engine(sys.argv[2:])
    if sys.argv[1:2] == ["kernel"]:
        from dockmagic.notebook.install import main as kernel

        return kernel(sys.argv[2:])
    from dockmagic.commands.program import main as program

    return program()


if __name__ == "__main__":
    sys.exit(main())
