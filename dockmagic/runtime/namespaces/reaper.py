"""``docker run --init``: a process at pid 1 that passes signals on and reaps orphans.

It is this same Python process, after it gave up everything the container may not have; what runs is its child.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NoReturn

from dockmagic.runtime import libc

_NOT_PASSED = frozenset(
    {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS,
     signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS, signal.SIGTTIN, signal.SIGTTOU}
)  # fmt: skip
"""Those that tini (Docker's init) keeps for itself."""


def run_under_reaper(run: Callable[[], NoReturn]) -> NoReturn:
    """Fork; the child becomes the program by ``run``, this process its init until it ends, with its exit code."""
    passed = {number for number in range(1, signal.NSIG) if number not in _NOT_PASSED} & signal.valid_signals()
    watched = passed | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)  # none may be lost between fork and sigwait
    terminal = os.isatty(0)
    libc.set_name("docker-init")  # before the program can look; its exec gives it a name of its own
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if terminal:
            _take_foreground()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        run()
    os.closerange(3, 1 << 16)
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            try:
                os.kill(child, number)
            except ProcessLookupError:
                pass
            continue
        code = _reap(child)
        if code is not None:
            os._exit(code)


def _take_foreground() -> None:
    """Put the program's own process group in the terminal's foreground, or the first read would stop it."""
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass
    finally:
        signal.signal(signal.SIGTTOU, old)


def _reap(child: int) -> int | None:
    """Reap all that ended; the program's exit code when it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = 128 - ended if ended < 0 else ended
