"""Files in and out of containers: docker cp."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from dockmagic import ownership
from dockmagic.engine import clock
from dockmagic.engine.services.containers.launch import Launcher
from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.events import Events
from dockmagic.errors import Forbidden, InvalidParameter, NotFound
from dockmagic.inroot import guest_path, resolve

if TYPE_CHECKING:
    import tarfile

_GO_BITS = ((stat.S_IFDIR, 1 << 31), (stat.S_IFLNK, 1 << 27), (stat.S_IFBLK, 1 << 26), (stat.S_IFIFO, 1 << 25),
            (stat.S_IFSOCK, 1 << 24), (stat.S_IFCHR, (1 << 26) | (1 << 21)))  # fmt: skip
"""Go's os.FileMode bits of a file's type"""


@dataclass(frozen=True)
class Place:
    """A path of a container's: where it is on the engine's machine, and as the container names it."""

    host: str
    guest: str
    read_only: bool
    root: str
    """What ``host`` is resolved in: the container's root, or a volume's folder."""


class Archives:
    """Copies between containers and tar streams."""

    def __init__(self, launcher: Launcher, events: Events) -> None:
        self._launcher = launcher
        self._events = events

    def stat(self, container: Container, path: str) -> dict[str, Any]:
        """The API's X-Docker-Container-Path-Stat. Raises NotFound."""
        place = self._place(container, path, follow=path.endswith("/"))
        info = _lstat(place, container, path)
        target = ""
        if stat.S_ISLNK(info.st_mode):
            target = self._place(container, path, follow=True).guest
        return {
            "name": posixpath.basename(place.guest) or "/",
            "size": info.st_size,
            "mode": _go_mode(_mode(place.host, info)),
            "mtime": clock.rfc3339(info.st_mtime_ns),
            "linkTarget": target,
        }

    def read(self, container: Container, path: str) -> Iterator[bytes]:
        """A tar of the file or folder at ``path``. Raises NotFound."""
        place = self._place(container, path, follow=path.endswith("/") or path.endswith("/."))
        _lstat(place, container, path)
        name = posixpath.basename(posixpath.normpath(place.guest)) or "/"
        if path.endswith("/."):
            name = "."
        self._events.publish("container", "archive-path", container.id, container.attributes(path=path))
        return tar_of(place.host, name)

    def write(
        self, container: Container, path: str, source: BinaryIO, *, no_overwrite: bool, own_by_user: bool
    ) -> None:
        """Unpack a tar into the folder at ``path``. Raises NotFound, InvalidParameter, Forbidden."""
        place = self._place(container, path, follow=True)
        info = _lstat(place, container, path)
        if not stat.S_ISDIR(info.st_mode):
            raise InvalidParameter("extraction point is not a directory")
        if place.read_only:
            raise Forbidden(
                "mounted volume is marked read-only"
                if place.guest != "/" and not container.record.host_config["ReadonlyRootfs"]
                else "container rootfs is marked read-only"
            )
        import tarfile

        owner = self._user(container) if own_by_user else None
        try:
            with tarfile.open(fileobj=source, mode="r|*") as archive:
                for member in archive:
                    if owner is not None:
                        member.uid, member.gid = owner
                    _extract(archive, member, place, no_overwrite=no_overwrite)
        except tarfile.ReadError as error:
            if str(error) != "empty file":
                raise InvalidParameter(f"archive/tar: invalid tar header: {error}") from None
        self._events.publish("container", "extract-to-dir", container.id, container.attributes(path=path))

    def _user(self, container: Container) -> tuple[int, int]:
        from dockmagic.runtime.users import resolve_user

        user = resolve_user(self._launcher.mount(container), container.record.config["User"])
        return user.uid, user.gid

    def _place(self, container: Container, path: str, *, follow: bool) -> Place:
        if not path:
            raise InvalidParameter("missing parameter in request: 'path'")
        rootfs = self._launcher.mount(container)
        inside = resolve(rootfs, path, follow_last=follow)
        guest = guest_path(rootfs, inside)
        record = container.record
        mounts = sorted(record.mounts, key=lambda point: -len(point.destination))
        for point in mounts:
            if point.type == "tmpfs":
                continue
            if guest == point.destination or guest.startswith(point.destination.rstrip("/") + "/"):
                below = guest[len(point.destination) :].lstrip("/")
                host = resolve(point.source, below, follow_last=follow) if below else point.source
                return Place(host, guest, not point.rw, point.source)
        return Place(inside, guest, record.host_config["ReadonlyRootfs"], rootfs)


def tar_of(path: str, name: str) -> Iterator[bytes]:
    """A tar stream of a file or folder under ``name``."""
    import tarfile
    import threading

    near, far = os.pipe()
    failed: list[BaseException] = []

    def produce() -> None:
        try:
            with (
                os.fdopen(far, "wb", buffering=0) as pipe,
                tarfile.open(fileobj=pipe, mode="w|", format=tarfile.GNU_FORMAT, bufsize=256 * 1024) as archive,
            ):
                _add(archive, path, name, {})
        except BrokenPipeError:
            pass  # the client has gone
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=produce, name="tar", daemon=True)
    thread.start()
    with contextlib.closing(os.fdopen(near, "rb", buffering=0)) as pipe:
        while data := pipe.read(256 * 1024):
            yield data
    thread.join()
    if failed:
        raise failed[0]


def _add(archive: tarfile.TarFile, path: str, name: str, links: dict[tuple[int, int], str]) -> None:
    info = os.lstat(path)
    if stat.S_ISSOCK(info.st_mode):
        return
    member = _member(path, name, info, links)
    if member.isreg():
        with open(path, "rb") as file:
            archive.addfile(member, file)
    else:
        archive.addfile(member)
    if stat.S_ISDIR(info.st_mode):
        for entry in sorted(os.listdir(path)):
            _add(archive, os.path.join(path, entry), f"{name.rstrip('/')}/{entry}", links)


def _member(path: str, name: str, info: os.stat_result, links: dict[tuple[int, int], str]) -> tarfile.TarInfo:
    import tarfile

    record = ownership.read(path)
    mode = record.mode if record else info.st_mode
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(mode)
    member.uid, member.gid = (record.uid, record.gid) if record else (info.st_uid, info.st_gid)
    member.mtime = int(info.st_mtime)
    if stat.S_ISDIR(mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        member.type = tarfile.SYMTYPE
        member.linkname = os.readlink(path)
    elif stat.S_ISFIFO(mode):
        member.type = tarfile.FIFOTYPE
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        member.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        member.devmajor = record.major if record else os.major(info.st_rdev)
        member.devminor = record.minor if record else os.minor(info.st_rdev)
    elif info.st_nlink > 1 and (info.st_dev, info.st_ino) in links:
        member.type = tarfile.LNKTYPE
        member.linkname = links[info.st_dev, info.st_ino]
    else:
        if info.st_nlink > 1:
            links[info.st_dev, info.st_ino] = name
        member.size = info.st_size
    return member


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Place, *, no_overwrite: bool) -> None:
    """One member, its path and links kept inside the place's root."""
    path = _inside(place, member.name)
    if os.path.normpath(path) == os.path.normpath(place.host):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    there = os.path.lexists(path)
    if there and no_overwrite and os.path.isdir(path) != member.isdir():
        raise InvalidParameter(
            f'cannot overwrite {"directory" if os.path.isdir(path) else "non-directory"} "{path}" with '
            f'{"directory" if member.isdir() else "non-directory"} "{member.name}"'
        )
    if member.isdir():
        if there and not (os.path.isdir(path) and not os.path.islink(path)):
            os.unlink(path)
            there = False
        if not there:
            os.mkdir(path)
    else:
        if there:
            _remove(path)
        _make(archive, member, path, place)
    if not member.islnk():
        _own(path, member)


def _inside(place: Place, name: str) -> str:
    """The path of an archive's ``name`` below the place; links lead anywhere in its root, never out of it."""
    below = posixpath.normpath("/" + name)  # dots can't climb above the folder that is unpacked into
    return resolve(place.root, os.path.relpath(place.host, place.root) + below, follow_last=False)


def _make(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, place: Place) -> None:
    import shutil

    if member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        os.link(_inside(place, member.linkname), path)
    elif member.isfifo():
        os.mkfifo(path)
    elif member.isdev():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        os.mknod(path, kind | 0o600, os.makedev(member.devmajor, member.devminor))
    else:
        source: IO[bytes] | None = archive.extractfile(member)
        with open(path, "xb") as file:
            if source is not None:
                shutil.copyfileobj(source, file, 1024 * 1024)


def _own(path: str, member: tarfile.TarInfo) -> None:
    try:
        os.lchown(path, member.uid, member.gid)
    except OSError:  # a single mapped id: remembered instead
        if not member.issym():
            mode = os.lstat(path).st_mode
            ownership.write(path, ownership.Recorded(member.uid, member.gid, stat.S_IFMT(mode) | member.mode))
    if not member.issym():
        os.chmod(path, member.mode)
    with contextlib.suppress(OSError):
        os.utime(path, (member.mtime, member.mtime), follow_symlinks=False)


def _remove(path: str) -> None:
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _lstat(place: Place, container: Container, path: str) -> os.stat_result:
    try:
        return os.lstat(place.host)
    except OSError:
        raise NotFound(f"Could not find the file {path} in container {container.name}") from None


def _mode(path: str, info: os.stat_result) -> int:
    record = ownership.read(path)
    return record.mode if record else info.st_mode


def _go_mode(mode: int) -> int:
    result = stat.S_IMODE(mode) & 0o777
    for kind, bits in _GO_BITS:
        if stat.S_IFMT(mode) == kind:
            result |= bits
    for bit, go in ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20)):
        result |= go if mode & bit else 0
    return result
