"""docker inspect: of anything, and of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.gotemplate import TemplateError
from dockmagic.commands.gotemplate.values import go_json
from dockmagic.commands.listing import parse_template, unescape
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.views.text import Json, Text
from dockmagic.views.view import View

PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}

KINDS = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
"""what docker inspect knows; of those that need a swarm there are none here"""

NO_SUCH = {"container": "No such container", "image": "No such image", "network": "No such network",
           "volume": "No such volume"}  # fmt: skip


@command
def inspect(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker inspect [OPTIONS] NAME|ID [NAME|ID...]

    Return low-level information on Docker objects

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -s, --size            Display total file sizes if the type is container
          --type string     Only inspect objects of the given type
    """
    wanted = options.text("type")
    if wanted and wanted not in PATHS:
        known = ", ".join(f'"{kind}"' for kind in KINDS)
        raise CommandError(f'unknown type: "{wanted}": must be one of {known}')
    kinds = [wanted] if wanted else list(PATHS)
    return show_inspected(session, operands, kinds, options.text("format"), size=options.on("size"))


@command
def inspect_container(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker container inspect [OPTIONS] CONTAINER [CONTAINER...]

    Display detailed information on one or more containers

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -s, --size            Display total file sizes
    """
    return show_inspected(session, operands, ["container"], options.text("format"), size=options.on("size"))


@command
def inspect_image(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker image inspect [OPTIONS] IMAGE [IMAGE...]

    Display detailed information on one or more images

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
    """
    return show_inspected(session, operands, ["image"], options.text("format"))


def show_inspected(
    session: Session, names: Sequence[str], kinds: Sequence[str], form: str, *, size: bool = False
) -> View:
    """What docker inspect shows of ``names``. Raises CommandError at the end when one was not found."""
    template = None if form in {"", "json"} else parse_template(unescape(form))
    found: list[Any] = []
    errors: list[str] = []
    for name in names:
        try:
            found.append(_find(session, name, kinds, size=size))
        except EngineError as error:
            if error.status != 404:
                raise
            what = NO_SUCH[kinds[0]] if len(kinds) == 1 else "No such object"
            errors.append(f"Error: {what}: {name}" if len(kinds) > 1 else str(error))
    if template is None:
        content = go_json(found) if form == "json" else go_json(found, indent=4)
        view: View = Json(found, content)
    else:
        try:
            lines = [template.execute(value) for value in found]
        except TemplateError as error:
            raise CommandError(f"template parsing error: {error}") from None
        view = Text("\n".join(lines))
    if errors:
        session.console.out(f"{view.text()}\n".encode())
        raise CommandError("\n".join(errors))
    return view


def _find(session: Session, name: str, kinds: Sequence[str], *, size: bool) -> Any:
    wanted = session.image(name) if "image" in kinds else name
    missing: EngineError | None = None
    for kind in kinds:
        try:
            extra = {"size": True} if size and kind == "container" else {}
            return session.engine.get(PATHS[kind].format(wanted), **extra)
        except EngineError as error:
            if error.status != 404:
                raise
            missing = error
    raise missing or CommandError(f"Error: No such object: {name}")
