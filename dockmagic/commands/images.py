"""Images in the engine: images, history, tag, rmi, prune, and what differs between two."""

from __future__ import annotations

import json
import time
from typing import Any

from dockmagic.commands import references
from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.imagefiles import compare_files
from dockmagic.commands.layers import add_files, find_base, layer_tree
from dockmagic.commands.lifecycle import confirmed, reclaimed
from dockmagic.commands.listing import Listing, Row, parse_filters
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import local_time, short_id, shorten, since, size3, units_size
from dockmagic.views.changes import ImageDiff
from dockmagic.views.layers import History
from dockmagic.views.text import Text
from dockmagic.views.view import View

IMAGES = Listing(
    "*formatter.imageContext",
    {
        "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE",
        "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
    },
    ("Repository", "Tag", "ID", "CreatedSince", "Size"),
)  # fmt: skip

HISTORY = Listing(
    "*formatter.historyContext",
    {
        "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE",
        "Comment": "COMMENT",
    },
    ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"),
)  # fmt: skip


@command
def images(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker images [OPTIONS] [REPOSITORY[:TAG]]

    List images

    Aliases:
      docker image ls, docker image list, docker images

    Options:
      -a, --all             Show all images (default hides intermediate images)
          --digests         Show digests
      -f, --filter filter   Filter output based on conditions provided
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
          --no-trunc        Don't truncate output
      -q, --quiet           Only show image IDs
    """
    filters = parse_filters(options.all("filter")) or {}
    if operands:
        filters.setdefault("reference", []).append(operands[0])
    form, digests = options.text("format"), options.on("digests")
    found = session.engine.get("/images/json", all=options.on("all"), filters=filters or None)
    now, trunc = time.time(), not options.on("no-trunc")
    rows: list[Row] = []
    for image in sorted(found, key=lambda i: -i["Created"]):
        shown = image_rows(image, now, trunc, digests or ".Digest" in form)
        rows += [{**row, "Containers": "N/A"} for row in shown]  # counted by docker system df alone
    columns = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"] if digests else None
    return IMAGES.show(rows, form, quiet=options.on("quiet"), columns=columns)


def image_rows(image: dict[str, Any], now: float, trunc: bool, digests: bool) -> list[Row]:
    """A row a name: tags, and names that have only a digest."""
    tags = [t for t in image.get("RepoTags") or [] if t != "<none>:<none>"]
    by_repository = {references.split(d)[0]: d.partition("@")[2] for d in image.get("RepoDigests") or []}
    names = [references.split(t) for t in tags]
    tagged = {repository for repository, _ in names}
    if not names:
        names = [(r, "<none>") for r in by_repository if r != "<none>"] or [("<none>", "<none>")]
    elif digests:
        names += [(r, "<none>") for r in by_repository if r not in tagged and r != "<none>"]

    def plain(repository: str, tag: str) -> str:
        """What docker has for a digest that was not asked for: nothing where a digest is all the name there is."""
        return "" if tag == "<none>" and repository != "<none>" else "<none>"

    return [
        {
            "ID": short_id(image["Id"]) if trunc else image["Id"],
            "Repository": repository,
            "Tag": tag,
            "Digest": by_repository.get(repository, "<none>") if digests else plain(repository, tag),
            "CreatedSince": since(image["Created"], now),
            "CreatedAt": local_time(image["Created"]),
            "Size": size3(image["Size"]),
            "VirtualSize": units_size(image["Size"]),
            "Containers": "N/A" if image.get("Containers", -1) < 0 else str(image["Containers"]),
            "SharedSize": "N/A" if image.get("SharedSize", -1) < 0 else size3(image["SharedSize"]),
            "UniqueSize": "N/A",
        }
        for repository, tag in names
    ]


@command
def history(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker history [OPTIONS] IMAGE

    Show the history of an image

    Aliases:
      docker image history, docker history

    Options:
          --files           Show the files of each layer in the layer tree (dockmagic's own)
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -H, --human           Print sizes and dates in human readable format (default true)
          --no-trunc        Don't truncate output
      -q, --quiet           Only show image IDs
    """
    name = session.image(operands[0])
    entries = session.engine.get(f"/images/{name}/history")
    now, trunc, human = time.time(), not options.on("no-trunc"), options.on("human")
    rows = []
    for entry in entries:
        made = " ".join(entry.get("CreatedBy", "").replace("\t", " ").split("\n"))
        moment = entry["Created"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(moment, 0)))
        rows.append(
            {
                "ID": short_id(entry["Id"]) if trunc else entry["Id"],
                "CreatedSince": (since(moment, now) if human else stamp) if moment > 0 else "N/A",
                "CreatedAt": stamp,
                "CreatedBy": shorten(made, 45) if trunc else made,
                "Size": size3(entry["Size"]) if human else str(entry["Size"]),
                "Comment": entry.get("Comment", ""),
            }
        )
    table = HISTORY.show(rows, options.text("format"), quiet=options.on("quiet"))
    if options.text("format") or options.on("quiet"):
        return table
    tree = layer_tree(session.engine, name, base=find_base(session.engine, name))
    if options.on("files"):
        add_files(session.engine, name, tree)
    return History(table, tree)


@command
def tag(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]

    Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE

    Aliases:
      docker image tag, docker tag
    """
    source, target = operands
    repository, name = references.split(target)
    if not references.well_formed(target):
        raise CommandError(
            f'Error parsing reference: "{target}" is not a valid repository/tag: invalid reference format'
        )
    if "@" in target:
        raise CommandError("refusing to create a tag with a digest reference")
    if repository != repository.lower():
        path = references.canonical(target).rpartition(":")[0].removeprefix("docker.io/")
        raise CommandError(
            f'Error parsing reference: "{target}" is not a valid repository/tag: invalid reference format: '
            f"repository name ({path}) must be lowercase"
        )
    session.engine.post(f"/images/{session.image(source)}/tag", repo=repository, tag=name or "latest")
    return None


@command
def rmi(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker rmi [OPTIONS] IMAGE [IMAGE...]

    Remove one or more images

    Aliases:
      docker image rm, docker image remove, docker rmi

    Options:
      -f, --force      Force removal of the image
          --no-prune   Do not delete untagged parents
    """
    errors, lines = [], []
    for name in operands:
        try:
            done = session.engine.delete(
                f"/images/{session.image(name)}", force=options.on("force"), noprune=options.on("no-prune")
            )
        except EngineError as error:
            if not (options.on("force") and error.status == 404):
                errors.append(str(error))
            continue
        lines += [f"{kind}: {what}" for entry in done or [] for kind, what in entry.items()]
    if errors:
        for line in lines:
            session.console.out(f"{line}\n".encode())
        raise CommandError("\n".join(errors))
    return Text("\n".join(lines))


@command
def prune(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker image prune [OPTIONS]

    Remove unused images

    Options:
      -a, --all             Remove all unused images, not just dangling ones
          --filter filter   Provide filter values (e.g. "until=<timestamp>")
      -f, --force           Do not prompt for confirmation
    """
    every = options.on("all")
    what = "images without at least one container associated to them" if every else "dangling images"
    if not confirmed(session, options, f"WARNING! This will remove all {what}."):
        return None
    filters = parse_filters(options.all("filter")) or {}
    filters["dangling"] = ["false" if every else "true"]
    answer = session.engine.post("/images/prune", filters=filters)
    return reclaimed(answer, "Deleted Images:", deleted_images(answer))


def deleted_images(answer: dict[str, Any]) -> list[str]:
    """The lines of a prune's deleted images."""
    words = {"Untagged": "untagged", "Deleted": "deleted"}
    return [f"{words[kind]}: {what}" for e in answer.get("ImagesDeleted") or [] for kind, what in e.items() if what]


def diff_images(session: Session, first: str, second: str) -> ImageDiff:
    """What differs between two images (a container's name stands for its image and its changes)."""
    names = (first, second)
    described = [session.engine.get(f"/images/{session.image(name)}/json") for name in names]
    configs = [d.get("Config") or {} for d in described]
    fields = sorted(set(configs[0]) | set(configs[1]))
    config = [
        (f, json.dumps(configs[0].get(f)), json.dumps(configs[1].get(f)))
        for f in fields
        if (configs[0].get(f) or None) != (configs[1].get(f) or None)
    ]
    layers = [(d.get("RootFS") or {}).get("Layers") or [] for d in described]
    shared = 0
    for one, other in zip(*layers, strict=False):
        if one != other:
            break
        shared += 1
    files = compare_files(session.engine, *(d["Id"] for d in described)) if layers[0] != layers[1] else []
    return ImageDiff(names, config, shared, files)
