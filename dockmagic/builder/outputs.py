"""What a build's ``outputs`` ask for: the image in the store, or files and archives beside or instead of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dockmagic.builder.request import BuildError

Output = Mapping[str, str]
IMAGE = frozenset({"image", "moby"})
NOTHING = frozenset({"", "cacheonly"})
WRITTEN = frozenset({"local", "tar", "oci", "docker"})


def loads(output: Output) -> bool:
    """Whether it is the image in the store: also ``type=docker`` without ``dest``, as buildx has it."""
    kind = output.get("type", "")
    return kind in IMAGE or (kind == "docker" and not output.get("dest"))


def keeps_image(outputs: Sequence[Output]) -> bool:
    """Whether the result becomes an image of the store: it does unless only other outputs are asked for."""
    return not outputs or any(loads(output) for output in outputs)


def names(outputs: Sequence[Output]) -> list[str]:
    """The image's names that outputs bring (``name=a,b``)."""
    found = [name for output in outputs if loads(output) for name in output.get("name", "").split(",")]
    return [name for name in found if name]


def check(outputs: Sequence[Output]) -> None:
    """Raises BuildError for what can't be written, before anything is built."""
    for output in outputs:
        kind = output.get("type", "")
        if kind in NOTHING or loads(output):
            continue
        if kind not in WRITTEN:
            raise BuildError(f'exporter "{kind}" could not be found')
        if not output.get("dest"):
            raise BuildError(f"no active session for {kind}: without one it needs a dest on the engine's machine")
