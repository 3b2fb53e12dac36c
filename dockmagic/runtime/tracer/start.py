"""From a fork of the supervisor to the container's program: read :func:`become_guest` from top to bottom."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import signal
import socket
import struct
import termios
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.namespaces import command, rlimits
from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Spec


def _set_oom_score(value: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(value))
    except OSError:
        pass  # only root may lower it


def become_guest(channel: socket.socket) -> NoReturn:
    """Never returns. Waits on ``channel`` for what to become: descriptors of a pickled Spec with the seccomp filter,
    of the three streams and of the shim's socket. By then the tracer has this process."""
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, 1 << 16)
    received = messages.receive(channel)
    if received is None:
        os._exit(0)
    work, *stdio, told = received[1]
    shim = socket.socket(fileno=told)
    try:
        with open(work, "rb") as file:
            file.seek(0)
            spec, program = pickle.load(file)
        _become(spec, stdio, program)
    except StartError as error:
        messages.send(shim, {"error": str(error), "code": error.code})
    except OSError as error:
        messages.send(shim, {"error": f"the container's process: {command.words(error.errno or 0)}", "code": 128})
    finally:
        os._exit(1)


def _become(spec: Spec, stdio: list[int], program: bytes) -> NoReturn:
    """Raises StartError, and OSError for what should not happen."""
    os.setsid()
    if spec.terminal:
        fcntl.ioctl(stdio[0], termios.TIOCSCTTY, 0)
        if any(spec.console_size):
            fcntl.ioctl(stdio[0], termios.TIOCSWINSZ, struct.pack("HHHH", *spec.console_size, 0, 0))
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
    if spec.oom_score_adj:
        _set_oom_score(spec.oom_score_adj)
    rlimits.set_limits(spec.limits.rlimits)
    libc.close_on_exec_from(3)
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP) and not 32 <= number < 34:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.seccomp_filter(program)
    # From here on every path is the container's.
    try:
        os.chdir(spec.cwd or "/")
    except OSError as error:
        text = f'chdir to cwd ("{spec.cwd}") set in config.json failed: {command.words(error.errno or errno.EIO)}'
        raise StartError(text, command.exit_code(text)) from error
    command.execute(command.look_up(spec.args[0], command.as_dict(spec.env)), spec.args, spec.env)
