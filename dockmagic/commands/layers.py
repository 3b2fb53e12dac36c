"""An image's layer tree from the engine's history, with what a build told of each step."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dockmagic.commands.api import Engine
from dockmagic.commands.errors import EngineError
from dockmagic.commands.imagefiles import layer_files
from dockmagic.views.build import Step
from dockmagic.views.layers import LayerEntry, LayerTree

_SHELL = re.compile(r"^(?:\|\d+ .*?)?(?:/bin/sh|/bin/bash|sh|bash)(?: -\w+)* -c ", re.DOTALL)


def layer_tree(
    engine: Engine, image: str, *, title: str = "", base: str = "", steps: Sequence[Step] = (), note: str = ""
) -> LayerTree:
    """The tree of ``image``. ``base`` names the image it was built FROM; ``steps`` are those of its stage."""
    described = engine.get(f"/images/{image}/json")
    entries = []
    for item in reversed(engine.get(f"/images/{image}/history")):
        made = item.get("CreatedBy", "")
        entries.append(
            LayerEntry(
                instruction_of(made) or item.get("Comment", "") or "layer",
                size=int(item["Size"]),
                created=float(item["Created"]),
            )
        )
    _mark_empty(entries, len((described.get("RootFS") or {}).get("Layers") or []))
    _mark_base(engine, entries, base)
    _match(entries, steps)
    tags = described.get("RepoTags") or []
    return LayerTree(title or (tags[0] if tags else image), described["Id"], entries, base=base, note=note)


def instruction_of(made: str) -> str:
    """The instruction in a history entry's created_by, as the Dockerfile had it."""
    text = made.removesuffix(" # buildkit").strip()
    text = re.sub(r"^\|\d+ (?:\S+=\S* )*", "", text)
    nop = re.match(r"^/bin/sh -c #\(nop\)\s+(.*)$", text, re.DOTALL)
    if nop:
        return nop[1].strip()
    if text.startswith("RUN "):
        rest = re.sub(r"^\|\d+ (?:\S+=\S* )*", "", text[4:])
        return f"RUN {_SHELL.sub('', rest, count=1)}"
    if _SHELL.match(text):
        return f"RUN {_SHELL.sub('', text, count=1)}"
    return text


MOST = 80
"""How many tagged images are looked at to find the one an image was built on."""


def find_base(engine: Engine, image: str) -> str:
    """The tagged image whose layers are the most of the first of ``image``'s; "" for none.

    Of several the oldest, and then the one with the fewest instructions: images that only change the config have the
    time of their base.
    """
    whole = _layers(engine, image)
    best, best_rank = "", (0, 0.0, 0)
    oldest = sorted((i for i in engine.get("/images/json") if i.get("RepoTags")), key=lambda i: float(i["Created"]))
    for other in oldest[:MOST]:
        tags = [t for t in other["RepoTags"] if "<none>" not in t]
        layers = _layers(engine, other["Id"]) if tags else []
        if not layers or len(layers) >= len(whole) or whole[: len(layers)] != layers:
            continue
        rank = (len(layers), -float(other["Created"]), -len(engine.get(f"/images/{other['Id']}/history")))
        if not best or rank > best_rank:
            best, best_rank = min(tags, key=len), rank
    return best


def _layers(engine: Engine, image: str) -> list[str]:
    found: list[str] = (engine.get(f"/images/{image}/json").get("RootFS") or {}).get("Layers") or []
    return found


def add_files(engine: Engine, image: str, tree: LayerTree) -> None:
    """Give each layer of ``tree`` its files, and what it hides of the layers below."""
    with_layer = [e for e in tree.entries if not e.empty]
    for entry, (files, hidden) in zip(with_layer, layer_files(engine, image), strict=False):
        entry.files, entry.hidden = files, hidden


_LAYER_WORDS = ("RUN ", "COPY ", "ADD ", "WORKDIR ")


def _mark_empty(entries: list[LayerEntry], layers: int) -> None:
    """Say which entries changed only the config. The history does not tell, so it is those that can't have a layer."""
    spare = len(entries) - layers
    for entry in entries:
        if spare and entry.size == 0 and not entry.instruction.startswith(_LAYER_WORDS):
            entry.empty = True
            spare -= 1
    for entry in entries:
        if spare and entry.size == 0 and not entry.empty:
            entry.empty = True
            spare -= 1


def _mark_base(engine: Engine, entries: list[LayerEntry], base: str) -> None:
    if not base:
        return
    try:
        below = list(reversed(engine.get(f"/images/{base}/history")))
    except EngineError:  # the builder had it from elsewhere
        return
    if [int(item["Size"]) for item in below] != [entry.size for entry in entries[: len(below)]]:
        return  # the name means another image by now
    for entry in entries[: len(below)]:
        entry.base = True


def _match(entries: list[LayerEntry], steps: Sequence[Step]) -> None:
    """Give every instruction its step: the same words in the same order."""
    own = [e for e in entries if not e.base]
    for entry in entries[:1]:
        if entry.base and steps:
            entry.step = re.sub(r"\d+(?=/)", "1", steps[0].counter)
    rest = list(own)
    for step in steps:
        if step.is_base:
            continue
        word = step.instruction.split(" ", 1)[0].upper()
        while rest:
            entry = rest.pop(0)
            if entry.instruction.split(" ", 1)[0].upper() == word:
                entry.step, entry.cached = step.counter, step.state == "cached"
                entry.seconds = step.seconds
                entry.instruction = step.instruction
                break
