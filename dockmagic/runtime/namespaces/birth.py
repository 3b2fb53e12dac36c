"""Forking a container's first process: it waits, is told what to become, and says when that failed.

The fork and the pages a forked Python then copies are 3 ms of a start's 11; so the next container's process is forked
ahead, while nobody waits.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.namespaces import command
from dockmagic.runtime.protocols import StartError


class Birth:
    """A forked child that waits until :meth:`go`; then ``become`` runs in it with the descriptors it was given."""

    def __init__(self, become: Callable[[socket.socket, list[int]], NoReturn]) -> None:
        ours, theirs = messages.pair()
        self._socket = ours
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _wait_and_become(become, theirs)
        theirs.close()

    def go(self, *fds: int) -> dict[str, int]:
        """Let it become what it is to be; once it runs its program, the descriptors that it sent, by name.

        ``console``: the near side of its terminal; ``listener``: where its filter asks; ``root``: its root folder.
        Raises StartError. The socket between the two closes at the exec, or brings what went wrong.
        """
        given: dict[str, int] = {}
        error = None
        with self._socket:
            try:
                messages.send(self._socket, {}, fds)
                while (received := messages.receive(self._socket)) is not None:
                    message, sent = received
                    given.update(zip(message.get("gives", ()), sent, strict=True))
                    if "error" in message:
                        error = StartError(message["error"], message["code"])
            except OSError:
                error = StartError("the container's process ended before it began", 128)
        if error is not None:
            os.waitpid(self.pid, 0)
            for fd in given.values():
                os.close(fd)
            raise error
        return given

    def cancel(self) -> None:
        """It is not needed after all."""
        self._socket.close()
        os.waitpid(self.pid, 0)


def _wait_and_become(become: Callable[[socket.socket, list[int]], NoReturn], shim: socket.socket) -> NoReturn:
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        received = messages.receive(shim)  # also ends when the shim died before it could be noticed by a signal
        if received is None:
            os._exit(0)
    except BaseException:
        os._exit(1)
    _tell_failure(lambda: become(shim, received[1]), shim)


def _tell_failure(become: Callable[[], NoReturn], shim: socket.socket) -> NoReturn:
    try:
        try:
            become()
        except StartError as error:
            messages.send(shim, {"error": str(error), "code": error.code})
        except OSError as error:
            text = f"{error.filename}: " if error.filename else ""
            text += command.words(error.errno or 0)
            messages.send(shim, {"error": text, "code": command.exit_code(text)})
        except BaseException as error:  # whatever it is, this forked process must not run on as a second shim
            messages.send(shim, {"error": f"{error!r} in {_place(error)}", "code": 128})
    finally:
        os._exit(1)


def _place(error: BaseException) -> str:
    """Where it was raised. (No imports here, as traceback's own: the root folder may be the container's.)"""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace is not None else "?"
