"""Files in and out of containers: cp, export, commit."""

from __future__ import annotations

import base64
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from dockmagic.commands import references
from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import size3
from dockmagic.views.text import Text
from dockmagic.views.view import View


@command
def cp(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-
        docker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH

    Copy files/folders between a container and the local filesystem

    Use '-' as the source to read a tar archive from stdin
    and extract it to a directory destination in a container.
    Use '-' as the destination to stream a tar archive of a
    container source to stdout.

    Aliases:
      docker container cp, docker cp

    Options:
      -a, --archive       Archive mode (copy all uid/gid information)
      -L, --follow-link   Always follow symbol link in SRC_PATH
      -q, --quiet         Suppress progress output during copy. Progress
                          output is automatically suppressed if no terminal
                          is attached
    """
    source, target = operands
    (from_container, from_path), (to_container, to_path) = _where(source), _where(target)
    if from_container and to_container:
        raise CommandError("copying between containers is not supported")
    if not from_container and not to_container:
        raise CommandError("must specify at least one container source")
    if from_container:
        done = _out(session, from_container, from_path, target, follow=options.on("follow-link"))
    else:
        done = _in(session, source, to_container, to_path, options)
    if done and session.console.terminal and not options.on("quiet"):
        session.console.note(done)
    return None


def _where(spec: str) -> tuple[str, str]:
    """(container or "", path) of ``NAME:/path``; a path that begins with a dot or slash is the machine's own."""
    if spec == "-" or spec.startswith(("/", ".", "~")) or (os.name == "nt" and spec[1:2] == ":"):
        return "", spec
    container, colon, path = spec.partition(":")
    return (container, path) if colon else ("", spec)


def _stat(session: Session, container: str, path: str) -> dict[str, Any]:
    response = session.engine.request("HEAD", f"/containers/{container}/archive", path=path)
    found: dict[str, Any] = json.loads(base64.b64decode(response.headers["X-Docker-Container-Path-Stat"]))
    return found


_END = 2 * tarfile.BLOCKSIZE
"""An archive's end; what pads it to a tape's record is not counted"""
_GO_DIR = 1 << 31
_GO_LINK = 1 << 27


def _out(session: Session, container: str, path: str, target: str, *, follow: bool) -> str:
    """What to tell when it is done; nothing for a stream."""
    asked = path
    if follow:
        stat = _stat(session, container, path)
        if stat["mode"] & _GO_LINK and stat["linkTarget"]:
            path = str(PurePosixPath(path).parent / stat["linkTarget"])
    chunks = session.engine.download(f"/containers/{container}/archive", path=path)
    if target == "-":
        for chunk in chunks:
            session.console.out(chunk)
        return ""
    destination = Path(target).expanduser()
    with tempfile.TemporaryFile() as spool:
        for chunk in chunks:
            spool.write(chunk)
        spool.seek(0)
        with tarfile.open(fileobj=spool) as archive:
            members = archive.getmembers()
            size = archive.offset + _END
            root = members[0].name.split("/", 1)[0] if members else ""
            name = PurePosixPath(asked).name or root
            contents = asked.endswith("/.")
            if destination.is_dir():
                base, rename = (destination, "") if contents else (destination, name)
            elif target.endswith(os.sep) and not (members and members[0].isdir()):
                raise CommandError(f'the destination directory "{target}" does not exist')
            elif not destination.parent.is_dir():
                raise CommandError(f'invalid output path: directory "{destination.parent}" does not exist')
            else:
                base, rename = destination.parent, destination.name
            if destination.is_file() and members and members[0].isdir():
                raise CommandError(f'cannot copy directory to file: "{target}"')
            for member in members:
                inner = member.name.split("/", 1)[1] if "/" in member.name else ""
                member.name = "/".join(p for p in (rename, inner) if p) or "."
                if member.islnk():
                    member.linkname = "/".join([rename, *member.linkname.split("/")[1:]])
            _extract(archive, members, base)
    return f"Successfully copied {size3(size)} to {destination.absolute()}"


def _extract(archive: tarfile.TarFile, members: list[tarfile.TarInfo], base: Path) -> None:
    """Unpack without leaving ``base``, whatever the container put into names and links."""
    try:
        for member in members:
            if hasattr(tarfile, "tar_filter"):
                archive.extract(member, base, filter="tar", set_attrs=True)
            else:
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise CommandError(f"refusing to write outside {base}: {member.name}")
                archive.extract(member, base)
    except (OSError, tarfile.TarError) as error:
        raise CommandError(str(error)) from None


def _in(session: Session, source: str, container: str, path: str, options: Options) -> str:
    """What to tell when it is done; nothing for a stream."""
    engine = session.engine
    query: dict[str, Any] = {"noOverwriteDirNonDir": True, "copyUIDGID": options.on("archive") or None}
    if source == "-":
        data = session.console.stdin.read() if session.console.stdin else b""
        engine.request("PUT", f"/containers/{container}/archive", data=data, path=path, **query)
        return ""
    origin = Path(source).expanduser()
    if options.on("follow-link"):
        origin = origin.resolve()
    if not origin.exists() and not origin.is_symlink():
        raise CommandError(f"lstat {origin.absolute()}: no such file or directory")
    folder, name = _destination(session, container, path, origin, contents=source.endswith(("/.", os.sep + ".")))
    with tempfile.TemporaryFile() as spool:
        with tarfile.open(fileobj=spool, mode="w", format=tarfile.GNU_FORMAT) as archive:
            archive.add(origin, arcname=name, filter=None if options.on("archive") else _as_root)
            size = archive.offset + _END
        spool.seek(0)
        engine.request("PUT", f"/containers/{container}/archive", data=spool, path=folder, **query)
    return f"Successfully copied {size3(size)} to {container}:{path}"


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    return info


def _destination(session: Session, container: str, path: str, origin: Path, *, contents: bool) -> tuple[str, str]:
    """(folder in the container, name in it) by docker cp's rules."""
    try:
        stat = _stat(session, container, path)
    except EngineError as error:
        if error.status != 404 or "No such container" in error.reason:
            raise
        if path.endswith("/") and not origin.is_dir():
            raise CommandError(f'the destination directory "{path}" does not exist') from None
        parent = PurePosixPath("/") / path.rstrip("/")
        return str(parent.parent), parent.name
    if stat["mode"] & _GO_DIR or (stat["mode"] & _GO_LINK and not origin.is_dir() and path.endswith("/")):
        return path, "." if contents and origin.is_dir() else origin.name
    if stat["mode"] & _GO_LINK and stat["linkTarget"]:
        linked = str(PurePosixPath(path).parent / stat["linkTarget"])
        return _destination(session, container, linked, origin, contents=contents)
    if origin.is_dir():
        raise CommandError(f'cannot copy directory "{origin}" to file "{container}:{path}"')
    whole = PurePosixPath("/") / path
    return str(whole.parent), whole.name


def write_out(session: Session, chunks: Iterable[bytes], name: str) -> None:
    """To the file ``name`` (temporary name first), or to standard output when it is ""."""
    if not name:
        if session.console.terminal:
            raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        for chunk in chunks:
            session.console.out(chunk)
        return
    path = Path(name).expanduser()
    if not path.absolute().parent.is_dir():
        raise CommandError(f'invalid output path: directory "{path.parent}" does not exist')
    temporary = path.with_name(f".docker_temp_{os.getpid()}_{path.name}")
    try:
        with temporary.open("wb") as out:
            for chunk in chunks:
                out.write(chunk)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@command
def export(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker export [OPTIONS] CONTAINER

    Export a container's filesystem as a tar archive

    Aliases:
      docker container export, docker export

    Options:
      -o, --output string   Write to a file, instead of STDOUT
    """
    write_out(session, session.engine.download(f"/containers/{operands[0]}/export"), options.text("output"))
    return None


@command
def commit(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]

    Create a new image from a container's changes

    Aliases:
      docker container commit, docker commit

    Options:
      -a, --author string    Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
      -c, --change list      Apply Dockerfile instruction to the created image
      -m, --message string   Commit message
      -p, --pause            Pause container during commit (default true)
    """
    container, *target = operands
    repository, tag = references.split(target[0]) if target else ("", "")
    if repository != repository.lower():
        path = references.canonical(target[0], tagged=False).removeprefix("docker.io/")
        raise CommandError(f"invalid reference format: repository name ({path}) must be lowercase")
    if target and not references.well_formed(target[0]):
        raise CommandError("invalid reference format")
    answer = session.engine.post(
        "/commit",
        {},
        container=container,
        repo=repository or None,
        tag=tag or None,
        comment=options.text("message") or None,
        author=options.text("author") or None,
        pause=options.on("pause"),
        changes=options.all("change") or None,
    )
    session.last_image = answer["Id"]
    return Text(answer["Id"])
