"""The build context: what of a folder is sent, as a tar that BuildKit recognises, with ``.dockerignore`` applied."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dockmagic.commands.errors import CommandError
from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.ignore import Ignore

HIDDEN = ".dockerfile.dockmagic"
"""The name a Dockerfile has in the context when it is not a file of it."""

_CHUNK = 1 << 20


@dataclass
class Context:
    """A folder to send. ``extra`` are files that are added or replaced by name."""

    folder: Path
    ignore: Ignore = field(default_factory=Ignore)
    extra: dict[str, bytes] = field(default_factory=dict)

    def chunks(self) -> Iterator[bytes]:
        """The tar: GNU headers, whole seconds, everything root's, as docker's command sends it.

        BuildKit takes a tar whose first header is a PAX one for a bare Dockerfile, hence the format and the times.
        """
        for name, data in self.extra.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            yield _header(info)
            yield data + _padding(len(data))
        for path, name in self.files():
            if name not in self.extra:
                yield from _entry(path, name)
        yield b"\0" * 1024

    def files(self) -> Iterator[tuple[Path, str]]:
        """(path, name in the tar) of what is not ignored, folders before what is in them, sorted by name."""
        yield from self._walk(self.folder, "", ())

    def _walk(self, folder: Path, prefix: str, parent: tuple[bool, ...]) -> Iterator[tuple[Path, str]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            raise CommandError(
                f"unable to prepare context: can't read {folder}: {(error.strerror or str(error)).lower()}"
            ) from None
        for entry in entries:
            name = f"{prefix}{entry.name}"
            ignored, state = self.ignore.matches_in(name, parent)
            is_folder = entry.is_dir(follow_symlinks=False)
            if ignored and not (is_folder and self.ignore.exclusions):
                continue
            if not ignored:
                yield Path(entry.path), name
            if is_folder:
                yield from self._walk(Path(entry.path), f"{name}/", tuple(state))


def alone(dockerfile: bytes) -> bytes:
    """A context that is nothing but a Dockerfile."""
    info = tarfile.TarInfo("Dockerfile")
    info.size, info.mode = len(dockerfile), 0o644
    return _header(info) + dockerfile + _padding(len(dockerfile)) + b"\0" * 1024


def _entry(path: Path, name: str) -> Iterator[bytes]:
    """One file's header and bytes; sockets are left out, as docker does."""
    try:
        told = path.lstat()
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(told.st_mode)
        info.mtime = int(told.st_mtime)
        if stat.S_ISDIR(told.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info)
        elif stat.S_ISLNK(told.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
            yield _header(info)
        elif stat.S_ISREG(told.st_mode):
            with path.open("rb") as source:
                info.size = told.st_size
                yield _header(info)
                rest = told.st_size
                while rest:
                    data = source.read(min(rest, _CHUNK)) or b"\0" * min(rest, _CHUNK)  # it shrank while being read
                    rest -= len(data)
                    yield data
                yield _padding(told.st_size)
        elif stat.S_ISFIFO(told.st_mode):
            info.type = tarfile.FIFOTYPE
            yield _header(info)
    except OSError as error:
        raise CommandError(
            f"error checking context: no permission to read from '{path}'"
            if isinstance(error, PermissionError)
            else f"error checking context: {path}: {(error.strerror or str(error)).lower()}"
        ) from None


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return b"\0" * (-size % 512)


def read_ignore(folder: Path, dockerfile: str) -> Ignore:
    """``NAME.dockerignore`` beside the Dockerfile, else ``.dockerignore``. Raises CommandError for a bad pattern."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = folder / name
        if path.is_file():
            try:
                return Ignore.of_file(path.read_text("utf-8", "surrogateescape"))
            except DockerfileError as error:
                raise CommandError(f"failed to read dockerignore {name}: {error}") from None
    return Ignore()


def folder_context(folder: Path, dockerfile: bytes, inside: str) -> tuple[Context, str]:
    """A folder and the Dockerfile's name in what is sent.

    ``inside`` is its path in the folder, "" when it comes from elsewhere or from a cell. One that is not in the folder,
    or that ``.dockerignore`` leaves out, is sent under a hidden name.
    """
    ignore = read_ignore(folder, inside or "Dockerfile")
    if inside and not ignore.matches_or_parent_matches(inside):
        return Context(folder, ignore), inside
    own = folder / ".dockerignore"
    rules = own.read_bytes() if own.is_file() else b".dockerignore"
    if inside:
        ignored_file = own.is_file() and ignore.matches_or_parent_matches(".dockerignore")
        extra = {HIDDEN: dockerfile} if ignored_file else {HIDDEN: dockerfile, ".dockerignore": rules}
        return Context(folder, ignore, extra), HIDDEN
    extra = {HIDDEN: dockerfile, ".dockerignore": rules.rstrip(b"\n") + b"\n" + HIDDEN.encode() + b"\n"}
    return Context(folder, ignore, extra), HIDDEN
