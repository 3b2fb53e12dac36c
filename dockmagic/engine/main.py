"""``python -m dockmagic engine``: the engine's process, from its arguments to its end.

The order matters: parse, open the runtime (it may enter a user namespace and starts the zygote, so before any thread
and before much is imported), take the root's lock, open the database, wire the services, serve.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from dockmagic.engine.http.server import Server
    from dockmagic.runtime.opening import ShimRuntime

_LOG_LIMIT = 4 * 1024 * 1024
"""bytes above which the log file is begun anew at the engine's start"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the engine until it is told to end or has been idle long enough; the exit status."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    root = Path(options.root).expanduser().absolute()
    path = options.host.removeprefix("unix://")
    if options.stop:
        from dockmagic.engine.stopping import stop

        return stop(path)
    if options.probe:
        from dockmagic.runtime.probe import describe, probe

        print("\n".join(describe(probe(root))))
        return 0
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o711)
        _log_to_file(root / "engine.log")
    except OSError as error:
        return _fail(f"can't use {root}: {error.strerror}")

    from dockmagic.errors import DockmagicError
    from dockmagic.runtime import open_runtime

    try:
        runtime = open_runtime(root / "runtime", options.runtime)
    except DockmagicError as error:
        return _fail(str(error))
    lock = _lock(root / "engine.lock")
    if lock is None:
        runtime.close()
        return _fail(f"another engine serves {root} already")
    try:
        return _serve(root, path, options.idle, runtime)
    finally:
        runtime.close()
        lock.close()


class _Options:
    host = ""
    root = ""
    idle = 0.0
    runtime: str | None = None
    stop = False
    probe = False


def _parse(arguments: Sequence[str]) -> _Options:
    import argparse

    from dockmagic import home

    parser = argparse.ArgumentParser(prog="dockmagic engine", description="The Docker Engine API on a unix socket.")
    parser.add_argument("--root", default="", help="where images and containers are kept (default: $DOCKMAGIC_ROOT)")
    parser.add_argument("--host", default="", metavar="unix:///PATH", help="the socket (default: one for each root)")
    idle = "end when nothing was asked and nothing ran for so long (default 0: never)"
    parser.add_argument("--idle", type=float, default=0.0, metavar="SECONDS", help=idle)
    parser.add_argument("--runtime", default=None, help="force a tier: namespaces, rootless or tracer")
    parser.add_argument("--stop", action="store_true", help="end the engine of this socket, and what runs in it")
    parser.add_argument("--probe", action="store_true", help="tell what each tier would need and have here, and end")
    options = parser.parse_args(arguments, _Options())
    options.root = options.root or str(home.data_root())
    options.host = options.host or f"unix://{home.default_socket(Path(options.root))}"
    if not options.host.startswith("unix:///"):
        parser.error(f"--host must be unix:///PATH, not {options.host}")
    return options


def _serve(root: Path, path: str, idle: float, runtime: ShimRuntime) -> int:
    import threading

    from dockmagic.engine import log
    from dockmagic.engine.http.server import Server, listen
    from dockmagic.engine.routes.ping import HEADERS, early

    if _answers(path):
        return _fail(f"something answers on {path} already")
    try:
        listener = listen(path)
    except OSError as error:
        return _fail(f"can't listen on {path}: {error.strerror}")
    ending, end = os.pipe()
    os.set_blocking(end, False)
    # The kernel may give a signal to any thread, and Python's handler waits for the main one, which waits here: the
    # wakeup descriptor is written at once, by whichever thread the signal came to.
    signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = Server(listener, early(), HEADERS, {os.geteuid(), 0})
    threading.Thread(target=server.serve, name="accept", daemon=True).start()

    from dockmagic.engine.wiring import Engine  # only now: a client that waits for /_ping has had its answer

    try:
        engine = Engine(root, runtime)
        engine.recover()
    except BaseException:
        _withdraw(server, path)
        raise
    server.open(engine.router)
    log.info(f"serving {path} from {root}")
    told = _wait(ending, idle, lambda: not engine.busy() and server.activity.idle_seconds() >= idle)
    log.info(f"ending: {'told to' if told else f'idle for {idle:g} s'}")
    _withdraw(server, path)
    engine.end()
    return 0


def _withdraw(server: Server, path: str) -> None:
    """No client finds the engine any more."""
    server.stop()
    if os.path.exists(path):
        os.unlink(path)


def _wait(ending: int, idle: float, is_idle: Callable[[], bool]) -> bool:
    """True once ``ending`` (a pipe) can be read; False once ``is_idle``, asked often enough for ``idle`` seconds."""
    turn = min(5.0, max(0.1, idle / 4)) if idle > 0 else None
    while not select.select([ending], [], [], turn)[0]:
        if is_idle():
            return False
    return True


def _lock(path: Path) -> IO[str] | None:
    """The root's lock, held while the file is open; None when another engine holds it.

    A POSIX lock: forked shims, which outlive the engine, don't inherit it as they would a flock.
    """
    import fcntl

    file = open(path, "a+", encoding="ascii")  # noqa: SIM115 - held as long as the engine lives
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _answers(path: str) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _log_to_file(path: Path) -> None:
    """Without a standard error worth the name (started on demand), log to ``path``."""
    try:
        if os.fstat(2).st_rdev != os.stat(os.devnull).st_rdev:
            return
    except OSError:
        pass  # nothing is open there at all
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        flags |= os.O_TRUNC
    fd = os.open(path, flags, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def _fail(message: str) -> int:
    print(f"dockmagic engine: {message}", file=sys.stderr, flush=True)
    return 1
