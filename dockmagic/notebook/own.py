"""``%dockmagic``: a notebook's cells as one Dockerfile and back, and an image of the environment a kernel runs in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.commands import flags, usage
from dockmagic.commands.errors import CommandError, OperandError
from dockmagic.commands.flags import Options
from dockmagic.commands.session import Session
from dockmagic.notebook.freeze import frozen_dockerfile, modules_of
from dockmagic.notebook.gather import cells_of, gather, gather_file, replayed
from dockmagic.notebook.registry import Registry
from dockmagic.views.text import Text
from dockmagic.views.view import View

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

HELP = """Usage:  %dockmagic COMMAND

What dockmagic adds to docker

Commands:
  dockerfile  Gather a notebook's Dockerfile cells into one Dockerfile, or make a cell of one
  freeze      Write a Dockerfile for the environment that this kernel runs in
  registry    Start a small registry on this machine, to push to and pull from

Run '%dockmagic COMMAND --help' for more information on a command."""

DOCKERFILE = usage.read(
    """
    Usage:  docker dockerfile [OPTIONS] [NOTEBOOK]

    Gather Dockerfile cells into one Dockerfile: those run in this kernel, or those of a notebook's file

    Each cell's image is a stage, named as its tag, so that a later cell may build on it.

    Options:
          --import string   Make a cell of this Dockerfile, instead of gathering; with --output NOTEBOOK.ipynb a
                            notebook with a cell for each stage
      -o, --output string   Write to a file, instead of showing
    """
)

FREEZE = usage.read(
    """
    Usage:  docker freeze [OPTIONS] [PROGRAM]

    Write a Dockerfile for the environment that this kernel runs in

    The Python version, the imported distributions with their versions, and PROGRAM, a notebook or a script that a
    container runs.

    Options:
          --base string     Image to build on (default "python:VERSION-slim")
      -o, --output string   Write to a file, instead of showing
    """
)

REGISTRY = usage.read(
    """
    Usage:  docker registry [OPTIONS]

    Start a small registry on this machine, to push to and pull from

    It is gone, with its images, when the kernel ends; its value has .address, .images and .stop().

    Options:
      -p, --port int      Port to listen on, on 127.0.0.1 only; 0 takes a free one (default 5050)
      -u, --user string   Ask for this name and a password, which is made up: .password
    """
)


def own_command(shell: InteractiveShell, session: Session, words: list[str]) -> View | None:
    """Run one of dockmagic's own commands. Raises CommandError."""
    commands: dict[str, tuple[usage.Usage, Callable[[InteractiveShell, Options, list[str]], View | None]]] = {
        "dockerfile": (DOCKERFILE, _dockerfile),
        "freeze": (FREEZE, _freeze),
        "registry": (REGISTRY, _registry),
    }
    if not words or words[0] in {"--help", "help"}:
        return Text(HELP)
    name, *rest = words
    if name not in commands:
        raise CommandError(f"%dockmagic: unknown command: {name}\n\nRun '%dockmagic --help' for more information")
    declared, act = commands[name]
    if "--help" in rest:
        return Text(declared.text.replace("docker ", "%dockmagic ", 1))
    options, operands = flags.parse(declared, rest)
    if declared.most is not None and len(operands) > declared.most:
        raise OperandError(declared)
    return act(shell, options, operands)


def _dockerfile(shell: InteractiveShell, options: Options, operands: list[str]) -> View | None:
    if options.given("import"):
        try:
            text = Path(options.text("import")).expanduser().read_text()
        except OSError as error:
            raise CommandError(
                f"can't read {options.text('import')}: {(error.strerror or str(error)).lower()}"
            ) from None
        if options.given("output"):
            return _give(_notebook(cells_of(text)), options)
        shell.set_next_input(f"%%dockerfile\n{text}")
        return None
    kernel: Any = getattr(shell, "kernel", None)
    history = shell.history_manager
    if operands:
        gathered = gather_file(Path(operands[0]).expanduser())
    elif getattr(kernel, "fragments", None) is not None:
        gathered = kernel.fragments.text
    else:
        gathered = gather(replayed(list(history.input_hist_raw) if history is not None else []))
    if not gathered.strip():
        raise CommandError("no Dockerfile cell has been run here yet")
    return _give(gathered, options)


def _notebook(cells: list[str]) -> str:
    """A notebook's file with these code cells, in nbformat 4.5."""
    sources = ["%load_ext dockmagic", *cells]
    shape: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    made = [{**shape, "id": f"cell-{number}", "source": source} for number, source in enumerate(sources)]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = {"cells": made, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _freeze(shell: InteractiveShell, options: Options, operands: list[str]) -> View | None:
    base = options.text("base") if options.given("base") else ""
    modules = modules_of(shell.user_ns, shell.user_ns_hidden)
    return _give(frozen_dockerfile(modules, operands[0] if operands else "", base), options)


def _registry(shell: InteractiveShell, options: Options, operands: list[str]) -> View | None:
    del shell, operands
    return Registry(options.number("port"), options.text("user"))


def _give(text: str, options: Options) -> View | None:
    if not options.given("output"):
        return Text(text.rstrip("\n"))
    path = Path(options.text("output")).expanduser()
    try:
        path.write_text(text)
    except OSError as error:
        raise CommandError(f"can't write {path}: {(error.strerror or str(error)).lower()}") from None
    return Text(f"wrote {path}")
