"""Finds the shared libraries of a program, as the dynamic loader would: ld.so(8) for glibc, ld-musl's path file.

No program is run for it (``ldd`` runs the program's own loader); only ELF headers are read.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

from dockmagic.images.standins import elf

_DEFAULT_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
_MUSL_FOLDERS = ("/lib", "/usr/local/lib", "/usr/lib")


class Libraries:
    """Answers which files a program needs to start. ``root`` stands for ``/``, in tests."""

    def __init__(self, root: str = "") -> None:
        self._root = root
        self._configured = tuple(self._ld_so_conf("/etc/ld.so.conf", 0))
        self._programs: dict[str, elf.Program | None] = {}
        self._defaults: dict[tuple[tuple[int, int, int], str], tuple[str, ...]] = {}

    def program(self, path: str) -> elf.Program | None:
        """The dynamic part of the file at ``path``; None when it is no ELF file or can't be read."""
        if path not in self._programs:
            try:
                with open(self._root + path, "rb") as file:
                    self._programs[path] = elf.read(file)
            except (OSError, elf.NotElf):
                self._programs[path] = None
        return self._programs[path]

    def closure(self, path: str) -> tuple[list[str], list[str]]:
        """(files, missing): the loader and libraries of the program at ``path``, and the names not found."""
        program = self.program(path)
        if program is None:
            return [], []
        found: dict[str, str] = {}
        files = [program.interpreter] if program.interpreter else []
        missing: list[str] = []
        todo: list[tuple[str, elf.Program, tuple[str, ...]]] = [(path, program, ())]
        loader_name = os.path.basename(program.interpreter)
        while todo:
            at, current, inherited = todo.pop()
            own = tuple(self._expand(current.rpath, at)) if not current.runpath else ()
            for name in current.needed:
                if name in found or name in missing or name == loader_name:
                    continue
                place = self._find(name, at, current, own + inherited, program.interpreter)
                if not place:
                    missing.append(name)
                    continue
                found[name] = place
                files.append(place)
                library = self.program(place)
                if library is not None:
                    todo.append((place, library, own + inherited))
        return files, missing

    def find(self, name: str, like: str) -> str:
        """A library by name for the same machine and loader as the program at ``like``; "" when there is none."""
        program = self.program(like)
        return self._find(name, like, program, (), program.interpreter) if program else ""

    def in_default_folder(self, path: str, like: str) -> bool:
        """Whether the loader finds the library at ``path`` without its cache and without the program's own paths."""
        program = self.program(like)
        return program is not None and os.path.dirname(path) in self._folders(program.abi, program.interpreter)

    def _find(self, name: str, at: str, program: elf.Program, rpath: tuple[str, ...], interpreter: str) -> str:
        if "/" in name:
            return name if self._fits(name, program) else ""
        runpath = tuple(self._expand(program.runpath, at))
        for folder in (*rpath, *runpath, *self._configured, *self._folders(program.abi, interpreter)):
            path = os.path.join(folder, name)
            if self._fits(path, program):
                return path
        return ""

    def _fits(self, path: str, program: elf.Program) -> bool:
        found = self.program(path)
        return found is not None and found.abi == program.abi

    def _expand(self, folders: tuple[str, ...], at: str) -> Iterator[str]:
        """``$ORIGIN`` is the folder of the real file that names it; other tokens are the loader's own business."""
        real = os.path.realpath(self._root + at)
        if self._root:
            real = "/" + os.path.relpath(real, os.path.realpath(self._root))
        origin = os.path.dirname(real)
        for folder in folders:
            path = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
            if path.startswith("/") and "$" not in path:
                yield os.path.normpath(path)

    def _folders(self, abi: tuple[int, int, int], interpreter: str) -> tuple[str, ...]:
        """The loader's built-in folders. Debian's loader has its multiarch folders built in."""
        key = (abi, interpreter)
        if key not in self._defaults:
            if os.path.basename(interpreter).startswith("ld-musl-"):
                self._defaults[key] = self._musl_folders(interpreter)
            else:
                multiarch = [
                    os.path.dirname(path)[len(self._root) :]
                    for parent in ("/lib", "/usr/lib")
                    for path in sorted(glob.glob(f"{glob.escape(self._root)}{parent}/*-linux-gnu*/libc.so.6"))
                ]
                self._defaults[key] = (*multiarch, *_DEFAULT_FOLDERS)
        return self._defaults[key]

    def _musl_folders(self, interpreter: str) -> tuple[str, ...]:
        """musl reads ``/etc/ld-musl-$ARCH.path`` (ldso/dynlink.c, load_library)."""
        name = os.path.basename(interpreter).removesuffix(".so.1")
        try:
            with open(f"{self._root}/etc/{name}.path", encoding="utf-8") as file:
                return tuple(part for part in file.read().replace(":", "\n").split("\n") if part)
        except OSError:
            return _MUSL_FOLDERS

    def _ld_so_conf(self, path: str, depth: int) -> Iterator[str]:
        """The folders of ldconfig's configuration, its includes followed (ldconfig(8))."""
        try:
            with open(self._root + path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            return
        for line in lines:
            words = line.split("#")[0].split()
            if words[:1] == ["include"] and depth < 8:
                for pattern in words[1:]:
                    absolute = os.path.join(os.path.dirname(path), pattern)
                    for included in sorted(glob.glob(glob.escape(self._root) + absolute)):
                        yield from self._ld_so_conf(included[len(self._root) :], depth + 1)
            elif words and words[0].startswith("/"):
                yield words[0].rstrip("/") or "/"
