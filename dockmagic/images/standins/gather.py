"""Gathers programs of this machine, with everything they need to start, as the entries of a layer.

Files keep their places and symbolic links stay links, so that Debian's alternatives, a merged /usr and Alpine's busybox
links all look in the image as they do on the machine.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from dockmagic.images.standins.libraries import Libraries

FOLDERS = ("/bin", "/usr/bin", "/sbin", "/usr/sbin")
_TOP_LINKS = (*FOLDERS, "/lib", "/lib32", "/lib64", "/usr/lib64")
_SHELLS = {"sh", "bash", "dash", "ash"}
_MAX_LINKS = 40  # as the kernel's MAXSYMLINKS


@dataclass(frozen=True)
class Entry:
    """One file, link or folder of the layer. A regular file has ``data``, a ``source`` on the machine, or a hard link.

    ``mode`` is a whole st_mode; ``mtime`` in seconds since the epoch, None for one that follows the others.
    """

    path: str
    mode: int
    mtime: int | None = None
    size: int = 0
    link: str = ""
    hard: bool = False
    data: bytes | None = None
    source: str = ""


class Gatherer:
    """Collects entries. ``root`` stands for ``/``, in tests; nothing outside it is read."""

    def __init__(self, root: str = "") -> None:
        self._root = root
        self.entries: dict[str, Entry] = {}
        self.programs: dict[str, str] = {}
        """name -> path of the programs gathered"""
        self._libraries = Libraries(root)
        self._inodes: dict[tuple[int, int], str] = {}
        for path in _TOP_LINKS:
            if os.path.islink(root + path) and os.path.isdir(root + path):
                self.add(path)

    def folder(self, path: str, mode: int = 0o755) -> None:
        self.entries[path] = Entry(path, stat.S_IFDIR | mode)

    def file(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file with content of our own. Its folder must be there."""
        data = text.encode()
        self.entries[path] = Entry(path, stat.S_IFREG | mode, size=len(data), data=data)

    def link(self, path: str, target: str) -> None:
        self.entries[path] = Entry(path, stat.S_IFLNK | 0o777, link=target)

    def add(self, path: str) -> str:
        """Take the file at ``path`` with the links and folders on its way; the path it really has.

        Raises OSError where it can't be read or its links go in a circle.
        """
        todo = [part for part in path.split("/") if part][::-1]
        at = ""
        taken: list[Entry] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                at = os.path.dirname(at).rstrip("/")
                continue
            here = f"{at}/{part}"
            found = os.lstat(self._root + here)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(f"too many links on the way to {path}")
                target = os.readlink(self._root + here)
                taken.append(Entry(here, stat.S_IFLNK | 0o777, int(found.st_mtime), link=target))
                if target.startswith("/"):
                    at = ""
                todo.extend([p for p in target.split("/") if p and p != "."][::-1])
            elif stat.S_ISDIR(found.st_mode):
                taken.append(Entry(here, stat.S_IFDIR | 0o755))
                at = here
            else:
                taken.append(self._regular(here, found))
                at = here
        for entry in taken:
            self.entries.setdefault(entry.path, entry)
        return at or "/"

    def program(self, name: str) -> bool:
        """Take a program, its loader, libraries and, for a script, its shell; False where any is missing."""
        path = self._where(name)
        return bool(path) and self._program(name, path)

    def library(self, name: str, like: str) -> None:
        """Take a library that programs load by themselves, where the machine has it (``like``: such a program)."""
        path = self._libraries.find(name, like)
        if path:
            self._all([path, *self._libraries.closure(path)[0]])

    def applets(self, names: Iterable[str]) -> None:
        """Let busybox, where it is gathered, stand for the programs of ``names`` that the machine has not."""
        path = self.programs.get("busybox", "")
        wanted = [name for name in names if name not in self.programs]
        if not path or not wanted:
            return
        has = set(_applets(self._root + path))
        for name in wanted:
            if name in has:
                link = f"{os.path.dirname(path)}/{name}"
                self.link(link, os.path.basename(path))
                self.programs[name] = link

    def finds_all_libraries(self) -> bool:
        """Whether the loader needs no cache to find them: all lie in its built-in folders or in a program's own."""
        programs = [path for path in self.programs.values() if self._libraries.program(path)]
        libraries = {path for program in programs for path in self._libraries.closure(program)[0][1:]}
        return all(self._libraries.in_default_folder(path, programs[0]) for path in libraries)

    def interpreter(self, path: str) -> str:
        """The loader of a program; "" for a static one."""
        program = self._libraries.program(path)
        return program.interpreter if program else ""

    def _where(self, name: str) -> str:
        for folder in FOLDERS:
            path = f"{folder}/{name}"
            if not os.path.islink(self._root + folder) and os.access(self._root + path, os.R_OK | os.X_OK):
                return path
            if os.path.islink(self._root + path) and os.path.isabs(os.readlink(self._root + path)) and self._root:
                return path
        return ""

    def _program(self, name: str, path: str) -> bool:
        script = self._script(path)
        if script and not self._shell(script):
            return False
        files, missing = self._libraries.closure(path)
        if missing or not self._all([path, *files]):
            return False
        self.programs[name] = path
        return True

    def _shell(self, interpreter: str) -> bool:
        name = os.path.basename(interpreter)
        return name in _SHELLS and (name in self.programs or self._program(name, interpreter))

    def _script(self, path: str) -> str:
        """The interpreter of a script; "" for anything else."""
        try:
            with open(self._root + path, "rb") as file:
                first = file.readline(256)
        except OSError:
            return ""
        words = first[2:].split() if first.startswith(b"#!") else []
        return os.fsdecode(words[0]) if words else ""

    def _all(self, paths: list[str]) -> bool:
        """Take all or none."""
        before = dict(self.entries)
        try:
            for path in paths:
                self.add(path)
        except OSError:
            self.entries = before
            return False
        return True

    def _regular(self, path: str, found: os.stat_result) -> Entry:
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no regular file")
        if not os.access(self._root + path, os.R_OK):
            raise OSError(f"{path} can't be read")
        # set-id bits are left behind: nothing in a container of ours needs them, and their owner may not be root here
        mode = stat.S_IFREG | 0o444 | (found.st_mode & 0o777)
        first = self._inodes.setdefault((found.st_dev, found.st_ino), path)
        if first != path and first in self.entries:
            return Entry(path, mode, int(found.st_mtime), link=first, hard=True)
        return Entry(path, mode, int(found.st_mtime), found.st_size, source=self._root + path)


def _applets(busybox: str) -> list[str]:
    """What this busybox can be called as; nothing when it can't say."""
    try:
        done = subprocess.run([busybox, "--list"], capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [os.path.basename(line) for line in done.stdout.decode(errors="replace").split()]
