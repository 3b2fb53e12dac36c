"""What kind of program a file is, and a copy of it whose loader is another file.

The kernel opens a program's loader (PT_INTERP) by the host's paths. So a dynamic program runs from a copy that names
a copy of the container's own loader. Both are kept by inode, size and time of the original: containers from the same
layer share them. Formats: elf(5), linux/elf.h, linux/binfmts.h.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
from dataclasses import dataclass
from typing import Literal

from dockmagic.runtime.tracer.copyup import copy_data
from dockmagic.runtime.tracer.kernel import fail

_HEAD = 4096
_SHEBANG = 256  # BINPRM_BUF_SIZE
_PT_INTERP = 3
_PROGRAM_HEADER = struct.Struct("=IIQQQQ")
_LIMIT = 2 << 30
"""Bytes of copies that are kept from one engine's start to the next."""
Key = tuple[int, int, int, int]


@dataclass(frozen=True)
class Program:
    """What a file is to execve."""

    kind: Literal["static", "dynamic", "script", "foreign", "unknown"]
    """``foreign``: an ELF file of another machine or of 32 bits."""
    interpreter: bytes = b""
    """The loader's or the script interpreter's path, in the container."""
    argument: bytes | None = None
    """The one argument of a script's first line."""
    header: int = 0
    """Where in the file the program header of PT_INTERP is."""


def examine(path: bytes, machine: int) -> Program:
    """Look at a file on the host; ``machine`` is this machine's e_machine. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(fd, _HEAD, 0)
        if head[:2] == b"#!":
            return _script(head[2:_SHEBANG])
        if head[:4] != b"\x7fELF" or len(head) < 64:
            return Program("unknown")
        if head[4] != 2 or struct.unpack_from("=H", head, 18)[0] != machine:
            return Program("foreign")
        (offset,) = struct.unpack_from("=Q", head, 32)
        size, count = struct.unpack_from("=HH", head, 54)
        if size < _PROGRAM_HEADER.size:
            return Program("unknown")
        table = os.pread(fd, size * count, offset)
        for at in range(0, len(table) - _PROGRAM_HEADER.size + 1, size):
            kind, _flags, start, _va, _pa, length = _PROGRAM_HEADER.unpack_from(table, at)
            if kind == _PT_INTERP:
                return Program("dynamic", os.pread(fd, length, start).split(b"\0")[0], header=offset + at)
        return Program("static")
    finally:
        os.close(fd)


def _script(line: bytes) -> Program:
    words = line.split(b"\n")[0].strip(b" \t").split(None, 1)
    if not words:
        return Program("unknown")
    return Program("script", words[0], words[1].rstrip(b" \t") if len(words) > 1 else None)


def key_of(real: os.stat_result) -> Key:
    return real.st_dev, real.st_ino, real.st_mtime_ns, real.st_size


class Programs:
    """The copies, in a folder of this user's on a file system that allows execution."""

    def __init__(self, folder: bytes, machine: int) -> None:
        self._folder = folder
        self._machine = machine
        self._known: dict[Key, Program] = {}
        self._made: dict[tuple[Key, bytes, bytes], bytes] = {}
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def examine(self, host: bytes, real: os.stat_result) -> Program:
        key = key_of(real)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = examine(host, self._machine)
        return known

    def runnable(self, host: bytes, real: os.stat_result, program: Program, loader: bytes, name: bytes) -> bytes:
        """The path of a copy of ``host``, called ``name``, that the kernel loads with the host's file ``loader``."""
        loader_key = key_of(os.stat(loader))
        key = key_of(real)
        made = self._made.get((key, loader, name))
        if made is not None and os.access(made, os.X_OK):
            return made
        loader_copy = self._copy(loader, self._path(loader_key, b""), b"ld.so", None)
        suffix = b"-%x-%x" % loader_key[1:3]
        made = self._copy(host, self._path(key, suffix), name, (program.header, loader_copy))
        self._made[key, loader, name] = made
        return made

    def alias(self, host: bytes, name: bytes) -> bytes:
        """A link called ``name`` to ``host``: the kernel names a process by the path it was started with."""
        import hashlib

        folder = self._folder + b"/as-" + hashlib.sha256(host).hexdigest()[:24].encode()
        path = folder + b"/" + name
        os.makedirs(folder, mode=0o700, exist_ok=True)
        try:
            os.symlink(host, path)
        except FileExistsError:
            pass
        return path

    def _path(self, key: Key, suffix: bytes) -> bytes:
        return self._folder + b"/%x-%x-%x-%x" % key + suffix

    def _copy(self, source: bytes, folder: bytes, name: bytes, patch: tuple[int, bytes] | None) -> bytes:
        path = folder + b"/" + name
        if os.path.exists(path):
            return path
        os.makedirs(folder, mode=0o700, exist_ok=True)
        existing = [entry for entry in os.listdir(folder) if not entry.startswith(b".")]
        if existing:  # the same program by another name
            try:
                os.link(folder + b"/" + existing[0], path)
            except FileExistsError:
                pass
            return path
        temporary = folder + b"/.%d" % os.getpid()
        try:
            copy_data(source, temporary, 0o700)
            if patch is not None:
                _set_loader(temporary, *patch)
            os.chmod(temporary, 0o755)
            os.rename(temporary, path)
        except BaseException:
            try:
                os.unlink(temporary)
            except OSError:
                pass  # it was never made
            raise
        return path


def prune(folder: bytes, limit: int = _LIMIT) -> None:
    """Remove the oldest copies beyond ``limit`` bytes, and links to programs that are gone.

    Who runs one goes on; who wants it again makes it again.
    """
    copies: list[tuple[float, int, bytes]] = []
    for entry in os.scandir(folder):
        names = os.listdir(entry.path)
        if entry.name.startswith(b"as-"):
            if not any(os.path.exists(os.path.join(entry.path, name)) for name in names):
                shutil.rmtree(entry.path, ignore_errors=True)
            continue
        real = [os.stat(os.path.join(entry.path, name)) for name in names[:1]]
        copies.append((entry.stat().st_mtime, real[0].st_size if real else 0, entry.path))
    total = sum(size for _when, size, _path in copies)
    for _when, size, path in sorted(copies):
        if total <= limit:
            return
        shutil.rmtree(path, ignore_errors=True)
        total -= size


def _set_loader(path: bytes, header: int, loader: bytes) -> None:
    """Append the loader's path to the file and let the program header at ``header`` mean it."""
    if len(loader) >= os.pathconf("/", "PC_PATH_MAX"):
        raise fail(errno.ENAMETOOLONG)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        os.pwrite(fd, loader + b"\0", size)
        os.pwrite(fd, struct.pack("=Q", size), header + 8)  # p_offset
        os.pwrite(fd, struct.pack("=QQ", len(loader) + 1, len(loader) + 1), header + 32)  # p_filesz, p_memsz
    finally:
        os.close(fd)
