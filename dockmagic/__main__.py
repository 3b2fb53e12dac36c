"""``python -m dockmagic``: the engine when the first word says so, else the command-line program."""

from __future__ import annotations

import sys


def main() -> int:
    """The exit status."""
    if sys.argv[1:2] == ["engine"]:
        from dockmagic.engine.main import main as engine

        return engine(sys.argv[2:])
    from dockmagic.commands.program import main as program

    return program()


if __name__ == "__main__":
    sys.exit(main())
