"""``%%dockerfile``: the cell is a Dockerfile, exactly; its flags are those of docker build."""

from __future__ import annotations

from pathlib import Path

from dockmagic.commands import flags, usage
from dockmagic.commands.building import Plan, own_steps, plan_of, run_build
from dockmagic.commands.buildsource import Source
from dockmagic.commands.checking import findings, show_checks
from dockmagic.commands.errors import CommandError
from dockmagic.commands.session import Session
from dockmagic.notebook.console import show
from dockmagic.views.build import BuildProgress
from dockmagic.views.checks import Checks
from dockmagic.views.text import Text
from dockmagic.views.view import View

USAGE = usage.read(
    """
    Usage:  docker file [OPTIONS]

    Build an image from the cell: %%dockerfile [OPTIONS], and the Dockerfile below

    The context is the folder of the notebook; it is sent only when an instruction reads from it.

    Options:
          --add-host list           Add a custom host-to-IP mapping ("host:ip")
          --build-arg list          Set build-time variables
          --build-context list      Additional build contexts (e.g., name=path)
          --cache-from strings      Images to consider as cache sources
          --cache-to list           Cache export destinations (e.g., "type=local,dest=path/to/dir")
          --check                   Check the Dockerfile and don't build it
          --context string          Folder that COPY and ADD read from (default ".")
          --label list              Set metadata for an image
          --network string          Set the networking mode for the RUN instructions during build
          --no-cache                Do not use cache when building the image
          --no-run                  Don't build: check the cell, and write it with --save
          --platform string         Set platform if server is multi-platform capable
          --progress string         Set type of progress output ("auto", "plain", "tty", "quiet") (default "auto")
          --pull                    Always attempt to pull a newer version of the image
      -q, --quiet                   Suppress the build output and print image ID on success
      -f, --save string             Write the Dockerfile to this file too
          --secret list             Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
          --shm-size bytes          Size of "/dev/shm"
          --ssh list                SSH agent socket or keys to expose to the build
      -t, --tag list                Name and optionally a tag in the "name:tag" format
          --target string           Set the target build stage to build.
          --ulimit ulimit           Ulimit options (default [])
    """
)


def build_cell(session: Session, words: list[str], body: str | None) -> View | None:
    """What the magic does. Raises CommandError."""
    if "--help" in words:
        return Text(USAGE.text.replace("docker file", "%%dockerfile", 1))
    if body is None:
        raise CommandError("%dockerfile is a cell magic: %%dockerfile in the first line, the Dockerfile below")
    options, operands = flags.parse(USAGE, words)
    if operands:
        raise CommandError(f"%%dockerfile takes flags only, not {operands[0]!r}; its context is --context", 125)
    plan = plan_of(options)
    plan.source = Source(body, "cell")
    folder = Path(options.text("context") or ".").expanduser()
    if not folder.is_dir():
        raise CommandError(f'ERROR: unable to prepare context: path "{folder}" not found')
    if options.given("save"):
        _save(Path(options.text("save")).expanduser(), body)
    if options.on("check") or options.on("no-run"):
        return show_checks(plan.source, folder, plan.target)
    plan.source.refuse()
    plan.context = folder
    _tell_checks(plan, folder)
    result = run_build(session, plan)
    return Text(result.image_id) if plan.quiet else result


def build_fragment(session: Session, text: str, before: int) -> View:
    """Build what the cells of a notebook make together, and tell what this cell's own steps wrote."""
    plan = Plan(Source(text, "cell", before), Path(), checked=True)
    result = run_build(session, plan)
    session.console.out(_said(session, plan, result.progress, before).encode())
    return result


def _said(session: Session, plan: Plan, progress: BuildProgress, before: int) -> str:
    """What this cell's steps wrote: now, or when they ran and were kept in the cache."""
    out = []
    done: tuple[str, ...] = ()
    if plan.source is not None:
        done = (plan.source.global_arguments(), plan.source.written_base(plan.target))
    for step in own_steps(plan, progress):
        if step.is_base:  # dockerd tells of it in some builds and not in others
            continue
        done = (*done, step.instruction)
        if step.state == "done":
            session.outputs[done] = step.output()
        found = plan.source.find(step.instruction, step.stage) if plan.source else None
        if step.state == "done" or (found is not None and found.line > before):
            out.append(session.outputs.get(done, ""))
    return "".join(out)


def _tell_checks(plan: Plan, folder: Path) -> None:
    """Show what the checks find, on the cell's own lines, before building."""
    source = plan.source
    if source is None or plan.quiet:
        return
    found = findings(source, folder, plan.target, all_stages=False)
    if found:
        show(Checks(source.text, found, source.name, asked=False))
    plan.checked = True


def _save(path: Path, body: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body if body.endswith("\n") else body + "\n")
    except OSError as error:
        raise CommandError(f"can't write {path}: {(error.strerror or str(error)).lower()}") from None
