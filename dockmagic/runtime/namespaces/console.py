"""A container's terminal: opened in its own devpts, so that ``tty`` in it names a file it can see."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from dockmagic.runtime import libc

_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430


def open_console(size: tuple[int, int]) -> tuple[int, int, str]:
    """A new terminal: both sides and the far side's path. Runs inside the container, with ``size`` rows, columns."""
    near = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(near, _TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(near, _TIOCGPTN, b"\0" * 4))[0]
    path = f"/dev/pts/{number}"
    far = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if size != (0, 0):
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    return near, far, path


def take_console(far: int, uid: int) -> None:
    """Make it this session's controlling terminal and the standard streams."""
    fcntl.ioctl(far, termios.TIOCSCTTY, 0)
    try:
        os.fchown(far, uid, -1)
    except OSError:
        pass  # a user that is not mapped here: the terminal stays root's
    for fd in (0, 1, 2):
        os.dup2(far, fd)


def bind_console(path: str) -> None:
    """/dev/console of the container's first process."""
    libc.mount(path, "/dev/console", None, libc.MS_BIND)
