"""The two sides of a process's standard streams, made before it starts; and a descriptor that tells of its death."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from dockmagic.runtime.spec import Spec

if TYPE_CHECKING:
    from dockmagic.runtime.protocols import Launched


class Stdio:
    """Pipes, or a terminal. ``child`` is what the process gets as 0, 1 and 2; the other side is the shim's.

    With a terminal that the tier opens itself inside the container (``own_console``) there is nothing to make yet and
    ``child`` is three times -1; else it is three times the terminal's far side, and the tier makes it the
    controlling terminal.
    """

    def __init__(self, spec: Spec, *, own_console: bool) -> None:
        self.master = self.stdin = self.stdout = self.stderr = -1
        self._child: list[int] = []
        if spec.terminal:
            if own_console:
                self.child = (-1, -1, -1)
                return
            self.master, far = os.openpty()
            self._child = [far]
            self.child = (far, far, far)
            return
        if spec.stdin:
            near_in, self.stdin = os.pipe()
        else:
            near_in = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.stdout, near_out = os.pipe()
        self.stderr, near_err = os.pipe()
        self.child = (near_in, near_out, near_err)
        self._child = [near_in, near_out, near_err]

    def close_child(self) -> None:
        for fd in self._child:
            os.close(fd)
        self._child = []

    def close(self) -> None:
        """The shim's side, when the process could not be started."""
        for fd in (self.master, self.stdin, self.stdout, self.stderr):
            if fd >= 0:
                os.close(fd)


def death_of(launched: Launched) -> int:
    """A descriptor that becomes readable when ``launched`` has ended and its ``wait()`` will not block for long."""
    try:
        return os.pidfd_open(launched.pid)
    except OSError:
        pass  # before Linux 5.3, or a sandbox without it: a thread waits instead
    near, far = os.pipe()

    def wait() -> None:
        launched.wait()
        os.close(far)

    threading.Thread(target=wait, daemon=True).start()
    return near
