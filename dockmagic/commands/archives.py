"""Images as tar archives: save, load, import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dockmagic.commands import references
from dockmagic.commands.copying import write_out
from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.views.text import Text
from dockmagic.views.view import View


@command
def save(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker save [OPTIONS] IMAGE [IMAGE...]

    Save one or more images to a tar archive (streamed to STDOUT by default)

    Aliases:
      docker image save, docker save

    Options:
      -o, --output string   Write to a file, instead of STDOUT
    """
    names = [session.image(name) for name in operands]
    write_out(session, session.engine.download("/images/get", names=names), options.text("output"))
    return None


@command
def load(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker load [OPTIONS]

    Load an image from a tar archive or STDIN

    Aliases:
      docker image load, docker load

    Options:
      -i, --input string   Read from tar archive file, instead of STDIN
      -q, --quiet          Suppress the load output
    """
    name = options.text("input")
    if name:
        try:
            source: IO[bytes] = Path(name).expanduser().open("rb")
        except OSError as error:
            raise CommandError(f"open {name}: {(error.strerror or str(error)).lower()}") from None
    else:
        if session.console.stdin is None or session.console.terminal:
            raise CommandError("requested load from stdin, but stdin is empty")
        source = session.console.stdin
    lines = []
    with source:
        for message in session.engine.messages(
            "POST", "/images/load", data=source, quiet=True, headers={"Content-Type": "application/x-tar"}
        ):
            if "error" in message:
                raise EngineError(500, str(message["error"]))
            if message.get("stream"):
                lines.append(str(message["stream"]).rstrip("\n"))
    for line in lines:
        found = re.match(r"Loaded image(?: ID)?: (\S+)", line)
        if found:
            session.last_image = found[1]
    return Text("\n".join(lines))


@command
def import_(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]

    Import the contents from a tarball to create a filesystem image

    Aliases:
      docker image import, docker import

    Options:
      -c, --change list       Apply Dockerfile instruction to the created image
      -m, --message string    Set commit message for imported image
          --platform string   Set platform if server is multi-platform capable
    """
    source, *target = operands
    repository, tag = references.split(target[0]) if target else ("", "")
    data: IO[bytes] | None = None
    origin = "-"
    if source == "-":
        data = session.console.stdin
    elif re.match(r"https?://", source):
        origin = source
    else:
        try:
            data = Path(source).expanduser().open("rb")
        except OSError as error:
            raise CommandError(f"open {source}: {(error.strerror or str(error)).lower()}") from None
    identity = ""
    for message in session.engine.messages(
        "POST",
        "/images/create",
        data=_chunks(data) if data else b"",
        fromSrc=origin,
        repo=repository or None,
        tag=tag or None,
        message=options.text("message") or None,
        changes=options.all("change") or None,
        platform=options.text("platform") or None,
    ):
        if "error" in message:
            raise EngineError(500, str(message["error"]))
        identity = str(message.get("status") or identity)
    session.last_image = identity.strip()
    return Text(identity.strip())


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    with source:
        while data := source.read(1 << 20):
            yield data
