"""The engine's log on standard error. (``logging`` would take 20 ms of the engine's start to import.)"""

from __future__ import annotations

import sys
import time


def info(message: str) -> None:
    _write("INFO", message)


def error(message: str, reason: BaseException) -> None:
    """Something failed that should not: with where it did."""
    import traceback

    trace = "".join(traceback.format_exception(type(reason), reason, reason.__traceback__))
    _write("ERROR", f"{message}\n{trace.rstrip()}")


def _write(level: str, message: str) -> None:
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    sys.stderr.write(f"{stamp},{int(now % 1 * 1000):03d} {level} {message}\n")
    sys.stderr.flush()
