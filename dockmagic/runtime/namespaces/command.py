"""Finding the program to run, and saying in runc's words why it can't be."""

from __future__ import annotations

import errno
import os
import stat
from typing import NoReturn

from dockmagic.runtime.protocols import StartError

_TEXTS = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "not a directory",
    errno.ENOEXEC: "exec format error",
    errno.ELOOP: "too many levels of symbolic links",
    errno.ENAMETOOLONG: "file name too long",
}


def words(code: int) -> str:
    """An error number as Go says it (lower case)."""
    return _TEXTS.get(code) or os.strerror(code).lower()


def exit_code(message: str) -> int:
    """The exit code dockerd makes of a start error (daemon/start.go, translateContainerdStartErr)."""
    if "executable file not found" in message or "no such file or directory" in message:
        return 127
    if "permission denied" in message or "not a directory" in message or "is a directory" in message:
        return 126
    return 128


def failed(message: str) -> StartError:
    return StartError(message, exit_code(message))


def as_dict(env: tuple[str, ...]) -> dict[str, str]:
    """``KEY=value`` items by key; of a key that is there twice the last one counts."""
    return dict(item.split("=", 1) for item in env if "=" in item)


def look_up(name: str, env: dict[str, str]) -> str:
    """The path of program ``name`` by the container's PATH; runs inside it, as its user, in its working directory.

    Raises StartError with the words of Go's exec.LookPath.
    """
    if "/" in name:
        code = _why_not(name)
        if code == 0:
            return name
        reason = f"stat {name}: {words(code)}" if code in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) else words(code)
        raise failed(f'exec: "{name}": {reason}')
    refused = 0
    for folder in env.get("PATH", "").split(":"):
        path = os.path.join(folder or ".", name)
        code = _why_not(path)
        if code == 0:
            return path
        if code in (errno.EACCES, errno.EPERM):
            refused = code
    if refused:
        raise failed(f'exec: "{name}": {words(refused)}')
    raise failed(f'exec: "{name}": executable file not found in $PATH')


def _why_not(path: str) -> int:
    """0 when ``path`` can be executed, else the error number."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.errno or errno.EIO
    if stat.S_ISDIR(mode):
        return errno.EISDIR
    if not mode & 0o111 or not os.access(path, os.X_OK, effective_ids=True):
        return errno.EACCES
    return 0


def execute(path: str, args: tuple[str, ...], env: tuple[str, ...]) -> NoReturn:
    """Become the program. A failure now (missing interpreter, wrong format) is the container's own: 255, as runc."""
    try:
        os.execve(path, args, as_dict(env))
    except OSError as error:
        try:
            os.write(2, f"exec {path}: {words(error.errno or 0)}\n".encode())
        except OSError:
            pass
        os._exit(255)
