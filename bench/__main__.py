"""Print the rows of every module here, or of those named: ``python -m bench engines tracer``."""

from __future__ import annotations

import importlib
import sys

MODULES = ("engines", "builds", "latency", "memory", "notebook", "tracer", "layers")


def main() -> None:
    """One line a row, as it is measured."""
    for name in sys.argv[1:] or MODULES:
        print(f"== {name}", flush=True)
        for row in importlib.import_module(f"bench.{name}").rows():
            print(row, flush=True)


if __name__ == "__main__":
    main()
