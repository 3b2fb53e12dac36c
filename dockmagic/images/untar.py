"""Unpacking a tar into a folder: nothing outside that folder can be reached, whatever the archive says.

Every folder on the way to an entry is opened by name below its parent's descriptor with O_NOFOLLOW; a symbolic link
on the way is followed by hand, as if the folder were ``/``. Descriptors are cached, which is also what makes it quick.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dockmagic.images import tarformat
from dockmagic.images.attributes import Owners, disk_mode, give, set_xattr
from dockmagic.images.files import clear_disk_errors, remove_tree, write_all
from dockmagic.images.tarformat import InvalidTar
from dockmagic.images.tarreader import Readable, TarEntry, TarReader

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_CACHED = 128
_MAX_DEPTH = 256  # levels, each of which may hold a descriptor
_MAX_NAME = 4096 - 256  # the kernel's PATH_MAX, less room for where a layer is kept
_MAX_LINKS = 40  # as the kernel's MAXSYMLINKS
_WHITEOUT = os.fsencode(tarformat.WHITEOUT)
_OPAQUE = os.fsencode(tarformat.OPAQUE)
_META = _WHITEOUT * 2
_ITS_FAULT = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EMLINK,
        errno.EXDEV,
    )
)
"""What the kernel says to an archive that makes no sense."""
_FILES = frozenset((tarformat.REGULAR, tarformat.OLD_REGULAR, tarformat.CONTIGUOUS))
_TYPES = {
    tarformat.CHARACTER: stat.S_IFCHR,
    tarformat.BLOCK_DEVICE: stat.S_IFBLK,
    tarformat.FIFO: stat.S_IFIFO,
    tarformat.FOLDER: stat.S_IFDIR,
    tarformat.SYMBOLIC_LINK: stat.S_IFLNK,
}


@dataclass
class Unpacked:
    """What an unpacking found. Paths are relative, without a slash at either end."""

    size: int = 0
    """bytes of all files' content"""
    whiteouts: list[str] = field(default_factory=list)
    """names of the layers below that are gone"""
    opaque: list[str] = field(default_factory=list)
    """folders in which nothing of the layers below is to be seen"""
    implicit: list[str] = field(default_factory=list)
    """folders that had no entry of their own"""


def untar(
    stream: Readable,
    folder: Path,
    *,
    owners: Owners = "real",
    layer: bool = False,
    owner: tuple[int, int] | None = None,
    base: Callable[[str], str | None] | None = None,
) -> Unpacked:
    """Unpack the (uncompressed) tar ``stream`` into ``folder``, which is there.

    ``layer``: whiteouts are told apart and reported instead of unpacked. ``owner`` (uid, gid) replaces everybody's.
    ``base`` finds a path of the layers below on disk: for hard links to them, and the owner and mode of folders
    that have no entry here. Raises InvalidTar, and DockmagicError when the disk is full; ``folder`` is then to be
    thrown away by its owner.
    """
    with contextlib.closing(_Untar(folder, owners, layer, owner, base)) as job, clear_disk_errors(f"write {folder}"):
        reader = TarReader(stream)
        for entry in reader:
            job.unpack(entry, reader)
        job.finish()
        return job.found


class _Untar:
    def __init__(
        self,
        folder: Path,
        owners: Owners,
        layer: bool,
        owner: tuple[int, int] | None,
        base: Callable[[str], str | None] | None,
    ) -> None:
        self.found = Unpacked()
        self._owners: Owners = owners
        self._layer = layer
        self._owner = owner
        self._base = base
        self._root = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
        self._open: dict[bytes, int] = {b"": self._root}
        self._times: dict[bytes, int] = {}
        self._explicit: set[bytes] = set()
        self._plainly = owners == "real" and owner is None and _maps_every_id()
        self._explicit_mode = _umask() | 0o7000
        """Bits of a mode that creating a file does not set: masked ones, and those that a chown clears again."""

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open = {}

    def unpack(self, entry: TarEntry, reader: TarReader) -> None:
        written = entry.name
        if len(self._open) > _MAX_CACHED:
            self._forget(b"")
        if len(written) > 256 and (len(written) > _MAX_NAME or written.count(b"/") > _MAX_DEPTH):
            raise InvalidTar(f'name too long: "{os.fsdecode(written[:80])}…"')
        parent, _, base = _clean(written).rpartition(b"/")
        if base == b"..":
            raise InvalidTar(f'path leaves the archive: "{os.fsdecode(written)}"')
        if self._layer and base.startswith(_WHITEOUT):
            self._whiteout(parent, base)
        elif not base:
            if entry.kind == tarformat.FOLDER:
                self._describe_folder(self._root, b"", entry)
        else:
            try:
                at = self._open.get(parent) or self._folder(parent)
                if entry.kind in _FILES:
                    self._make_file(entry, reader, at, parent, base)
                else:
                    self._make(entry, at, parent, base)
            except OSError as error:
                if error.errno not in _ITS_FAULT:
                    raise
                raise InvalidTar(f'cannot make "{os.fsdecode(written[:80])}": {error.strerror}') from error

    def finish(self) -> None:
        """Folders get their times when nothing is put into them any more; markers are made consistent."""
        for name, mtime in reversed(self._times.items()):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # replaced by a later entry
                if len(self._open) > _MAX_CACHED:
                    self._forget(b"")
                os.utime(self._folder(name, make=False), ns=(mtime, mtime))
        for hidden in sorted(set(self.found.whiteouts)):
            # A whiteout hides what is below only: a folder of that name in this very layer becomes opaque.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, InvalidTar):
                parent, _, base = os.fsencode(hidden).rpartition(b"/")
                status = os.stat(base, dir_fd=self._folder(parent, make=False), follow_symlinks=False)
                self.found.whiteouts = [other for other in self.found.whiteouts if other != hidden]
                if stat.S_ISDIR(status.st_mode):
                    self.found.opaque.append(hidden)
        self.found.whiteouts = sorted(set(self.found.whiteouts))
        self.found.opaque = sorted(set(self.found.opaque))
        self.found.implicit = sorted({name for name in self.found.implicit if os.fsencode(name) not in self._explicit})

    def _whiteout(self, parent: bytes, base: bytes) -> None:
        self._folder(parent)
        if base == _OPAQUE:
            self.found.opaque.append(os.fsdecode(parent))
        elif not base.startswith(_META) and base != _WHITEOUT:  # others of that prefix are aufs's own
            hidden = base[len(_WHITEOUT) :]
            if hidden in (b".", b".."):
                raise InvalidTar(f'path leaves the archive: "{os.fsdecode(base)}"')
            self.found.whiteouts.append(os.fsdecode(parent + b"/" + hidden if parent else hidden))

    def _make_file(self, entry: TarEntry, reader: TarReader, at: int, parent: bytes, base: bytes) -> None:
        mode = entry.mode if self._owners == "real" else disk_mode(entry.mode, "recorded")
        try:
            fd = os.open(base, _NEW_FILE, mode, dir_fd=at)
        except FileExistsError:
            self._clear(at, base, parent + b"/" + base if parent else base)
            fd = os.open(base, _NEW_FILE, mode, dir_fd=at)
        try:
            reader.copy(fd)
            self.found.size += entry.size
            if self._plainly and not entry.xattrs:
                os.fchown(fd, entry.uid, entry.gid)
                if mode & self._explicit_mode:
                    os.fchmod(fd, mode)
            else:
                self._describe(fd, stat.S_IFREG | entry.mode, entry, mode & self._explicit_mode != 0)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _make(self, entry: TarEntry, at: int, parent: bytes, base: bytes) -> None:
        kind = entry.kind
        name = parent + b"/" + base if parent else base
        if kind == tarformat.FOLDER:
            self._make_folder(entry, at, base, name)
        elif kind == tarformat.SYMBOLIC_LINK:
            try:
                os.symlink(entry.link, base, dir_fd=at)
            except FileExistsError:
                self._clear(at, base, name)
                os.symlink(entry.link, base, dir_fd=at)
            self._describe(_path(at, base), stat.S_IFLNK | 0o777, entry, False)
            os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=at, follow_symlinks=False)
        elif kind == tarformat.HARD_LINK:
            self._link(entry, at, base, name)
        elif kind in _TYPES:
            self._make_special(entry, at, base, name)
        else:
            raise InvalidTar(f'unknown type {kind!r} of "{os.fsdecode(name)}"')

    def _make_folder(self, entry: TarEntry, at: int, base: bytes, name: bytes) -> None:
        try:
            os.mkdir(base, 0o700, dir_fd=at)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(base, dir_fd=at, follow_symlinks=False).st_mode):
                self._clear(at, base, name)
                os.mkdir(base, 0o700, dir_fd=at)
        fd = self._open.get(name)
        if fd is None:
            fd = self._open[name] = os.open(base, _FOLDER, dir_fd=at)
        self._describe_folder(fd, name, entry)

    def _describe_folder(self, fd: int, name: bytes, entry: TarEntry) -> None:
        self._describe(fd, stat.S_IFDIR | entry.mode, entry, True)
        self._times.pop(name, None)
        self._times[name] = entry.mtime
        self._explicit.add(name)

    def _make_special(self, entry: TarEntry, at: int, base: bytes, name: bytes) -> None:
        mode = _TYPES[entry.kind] | entry.mode
        with contextlib.suppress(FileNotFoundError):
            os.stat(base, dir_fd=at, follow_symlinks=False)
            self._clear(at, base, name)
        owners = self._owners
        if entry.kind == tarformat.FIFO:
            os.mkfifo(base, disk_mode(mode, owners), dir_fd=at)
        else:
            try:
                if owners == "recorded":
                    raise PermissionError
                os.mknod(base, mode, os.makedev(*entry.device), dir_fd=at)
            except PermissionError:  # no such privilege: an empty file stands for the device
                owners = "recorded"
                os.close(os.open(base, _NEW_FILE, 0o600, dir_fd=at))
        uid, gid = self._owner or (entry.uid, entry.gid)
        path = _path(at, base)
        give(path, mode, uid, gid, owners, entry.device)
        for attribute, value in entry.xattrs.items():
            set_xattr(path, attribute, value)
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=at, follow_symlinks=False)

    def _link(self, entry: TarEntry, at: int, base: bytes, name: bytes) -> None:
        target = _clean(entry.link)
        parent, _, target_base = target.rpartition(b"/")
        if target_base in (b"", b".."):
            raise InvalidTar(f'hard link "{os.fsdecode(name)}" leaves the archive: "{os.fsdecode(entry.link)}"')
        if target == name:
            raise InvalidTar(f'hard link "{os.fsdecode(name)}" to itself')
        with contextlib.suppress(FileNotFoundError):
            os.stat(base, dir_fd=at, follow_symlinks=False)
            self._clear(at, base, name)
        try:
            source = self._folder(parent, make=False)
            if stat.S_ISDIR(os.stat(target_base, dir_fd=source, follow_symlinks=False).st_mode):
                raise InvalidTar(f'hard link "{os.fsdecode(name)}" to a folder')
            os.link(target_base, base, src_dir_fd=source, dst_dir_fd=at, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            below = self._base(os.fsdecode(target)) if self._base else None
            if below is None or not stat.S_ISREG(os.lstat(below).st_mode):
                raise InvalidTar(
                    f'hard link "{os.fsdecode(name)}" to "{os.fsdecode(entry.link)}", which is not there'
                ) from None
            copy_file(below, base, at, self._owners)

    def _describe(self, target: int | str, mode: int, entry: TarEntry, chmod: bool) -> None:
        uid, gid = self._owner or (entry.uid, entry.gid)
        give(target, mode, uid, gid, self._owners, chmod=chmod)
        for attribute, value in entry.xattrs.items():
            set_xattr(target, attribute, value)

    def _folder(self, name: bytes, make: bool = True, links: int = 0) -> int:
        """The descriptor of a folder; its parents and itself are made where they are missing."""
        fd = self._open.get(name)
        if fd is not None:
            return fd
        parent, _, base = name.rpartition(b"/")
        at = self._folder(parent, make, links)
        if base == b"..":
            raise InvalidTar(f'path leaves the archive: "{os.fsdecode(name)}"')
        try:
            fd = os.open(base, _FOLDER, dir_fd=at)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(base, 0o755, dir_fd=at)
            fd = os.open(base, _FOLDER, dir_fd=at)
            self._implicit(fd, name)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            return self._follow(at, parent, base, make, links)
        self._open[name] = fd
        return fd

    def _implicit(self, fd: int, name: bytes) -> None:
        """A folder nobody described: as the layers below have it, else root's and 0755."""
        text = os.fsdecode(name)
        self.found.implicit.append(text)
        below = self._base(text) if self._base else None
        if below is not None and os.path.isdir(below):
            copy_attributes(below, fd, self._owners)
        else:
            give(fd, stat.S_IFDIR | 0o755, 0, 0, self._owners)

    def _follow(self, at: int, parent: bytes, base: bytes, make: bool, links: int) -> int:
        """A link on the way: where it leads inside this folder. Not cached under its own name: it may be replaced."""
        try:
            target = os.readlink(base, dir_fd=at)
        except OSError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        if links >= _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        parts = [] if target.startswith(b"/") else [part for part in parent.split(b"/") if part]
        for part in target.split(b"/"):
            if part == b"..":
                parts = parts[:-1]
            elif part not in (b"", b"."):
                parts.append(part)
        return self._folder(b"/".join(parts), make, links + 1)

    def _clear(self, at: int, base: bytes, name: bytes) -> None:
        """Make room for an entry that replaces another."""
        try:
            os.unlink(base, dir_fd=at)
        except (IsADirectoryError, PermissionError):
            self._forget(name)
            remove_tree(_path(at, base))
        self._times.pop(name, None)

    def _forget(self, name: bytes) -> None:
        """Close the cached descriptors of a folder and all below it."""
        for key in [key for key in self._open if key and (not name or key == name or key.startswith(name + b"/"))]:
            os.close(self._open.pop(key))


def copy_file(source: str, base: bytes, at: int, owners: Owners) -> None:
    """Copy a regular file with all that belongs to it to the new name ``base`` in the folder ``at``."""
    status = os.stat(source, follow_symlinks=False)
    with open(source, "rb") as stream:
        fd = os.open(base, _NEW_FILE, status.st_mode & 0o777, dir_fd=at)
        try:
            copy_content(stream.fileno(), fd)
            copy_attributes(source, fd, owners)
            os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(fd)


def copy_content(source: int, fd: int) -> None:
    """Copy from one open file to another; blocks are shared where the file system can (btrfs, xfs)."""
    try:
        while os.copy_file_range(source, fd, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.ENOTSUP):
            raise
        while chunk := os.read(source, 1 << 20):
            write_all(fd, chunk)


def copy_attributes(source: str, fd: int, owners: Owners) -> None:
    """Owner, mode and attributes as they are on disk, records included. Both trees keep owners the same way."""
    status = os.stat(source, follow_symlinks=False)
    if owners == "real":
        with contextlib.suppress(PermissionError):
            os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, status.st_mode & 0o7777)
    with contextlib.suppress(OSError):
        for name in os.listxattr(source, follow_symlinks=False):
            if not name.startswith(("trusted.overlay.", "user.overlay.")):
                with contextlib.suppress(OSError):
                    os.setxattr(fd, name, os.getxattr(source, name, follow_symlinks=False))


def _clean(name: bytes) -> bytes:
    """Without leading slashes, empty parts and ``.``; ``..`` is kept, to be refused."""
    if b"//" not in name and b"/." not in name and not name.startswith((b".", b"/")):
        return name.rstrip(b"/")
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))


def _path(at: int, base: bytes) -> str:
    """A path of a name in an open folder, for the calls that take no folder descriptor."""
    return f"/proc/self/fd/{at}/{os.fsdecode(base)}"


def _maps_every_id() -> bool:
    """Whether chown to any id can succeed: root outside of a user namespace that maps only some."""
    if os.geteuid() != 0:
        return False
    try:
        with open("/proc/self/uid_map", "rb") as map:
            return map.read().split() == [b"0", b"0", b"4294967295"]
    except OSError:
        return False


def _umask() -> int:
    """This process's umask, read without changing it (that would be seen by every thread)."""
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o777  # unknown: then every mode is set explicitly
