"""``--output``: what is to be written where, read and checked as buildx does, and told to our engine."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dockmagic.commands.errors import CommandError

if TYPE_CHECKING:
    from dockmagic.commands.console import Console

_FILES = frozenset({"tar", "oci", "docker"})
_CHUNK = 1 << 20


@dataclass
class Output:
    """One output. ``dest`` "-" is standard output."""

    kind: str
    dest: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> bool:
        """Whether it is written as a folder."""
        layout = self.kind in {"oci", "docker"} and self.attributes.get("tar", "").lower() in {"false", "0", "f"}
        return self.kind == "local" or layout

    @property
    def image(self) -> bool:
        """Whether it is the image in the engine's store."""
        return self.kind == "image" or (self.kind == "docker" and not self.dest and not self.folder)


def parse_outputs(texts: Sequence[str], *, load: bool = False) -> list[Output]:
    """The outputs of a command line; ``load`` adds the image. Raises CommandError with buildx's words."""
    outputs = [_parsed(text) for text in texts if text]
    if load and outputs and not any(output.image for output in outputs):
        outputs.append(Output("image"))
    for output in outputs:
        _check(output)
    if sum(output.dest == "-" for output in outputs) > 1:
        raise CommandError("ERROR: only one output can be written to stdout")
    return outputs


def _parsed(text: str) -> Output:
    fields = text.split(",")
    if fields == [text] and not text.startswith("type="):
        return Output("tar" if text == "-" else "local", text)
    output = Output("")
    for part in fields:
        key, equals, value = part.partition("=")
        if not equals:
            raise CommandError(f"ERROR: invalid value {part}")
        key = key.strip().lower()
        if key == "type":
            output.kind = value
        elif key == "dest":
            output.dest = value
        else:
            output.attributes[key] = value
    if not output.kind:
        raise CommandError("ERROR: type is required for output")
    return output


def _check(output: Output) -> None:
    kind = output.kind
    if kind == "registry" or (kind == "image" and output.attributes.get("push", "").lower() in {"true", "1"}):
        raise CommandError("ERROR: a build does not push here: build, then docker push")
    if kind not in {"local", "image", "cacheonly", *_FILES}:
        raise CommandError(f'ERROR: exporter "{kind}" could not be found')
    if output.image or kind == "cacheonly":
        return
    if output.folder:
        if not output.dest:
            raise CommandError(f"ERROR: dest is required for {kind} exporter")
        if output.dest == "-":
            raise CommandError(f"ERROR: dest cannot be stdout for {kind} exporter")
        if os.path.exists(output.dest) and not os.path.isdir(output.dest):
            raise CommandError(f"ERROR: destination directory {output.dest} is a file")
        return
    output.dest = output.dest or "-"
    if output.dest != "-" and os.path.isdir(output.dest):
        raise CommandError(f"ERROR: destination file {output.dest} is a directory")


@contextlib.contextmanager
def told(outputs: Sequence[Output], url: str, console: Console) -> Iterator[list[dict[str, str]]]:
    """The outputs as our engine takes them: absolute paths on the machine that it shares with us.

    What goes to standard output is written to a temporary file first, and copied there when the build went well.
    Raises CommandError.
    """
    written = [output for output in outputs if output.dest]
    if written and not url.startswith("unix://"):
        raise CommandError("ERROR: an output can be written by an engine on this machine only")
    piping = next((output for output in written if output.dest == "-"), None)
    if piping is not None and console.terminal:
        raise CommandError(f"ERROR: dest file is required for {piping.kind} exporter. refusing to write to console")
    if not outputs:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="dockmagic-output-") as folder:
        spool = Path(folder) / "output"
        yield [
            {
                **output.attributes,
                "type": output.kind,
                **({"dest": str(spool if output is piping else _absolute(output.dest))} if output.dest else {}),
            }
            for output in outputs
        ]
        if piping is not None:
            with spool.open("rb") as source:
                while data := source.read(_CHUNK):
                    console.out(data)


def _absolute(dest: str) -> Path:
    """Raises CommandError when the folder that is to hold it can't be made."""
    path = Path(dest).expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"ERROR: invalid destination {dest}: {(error.strerror or str(error)).lower()}") from None
    return path
