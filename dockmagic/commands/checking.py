"""``docker build --check``: BuildKit's build checks, shown on the Dockerfile's own lines."""

from __future__ import annotations

from pathlib import Path

from dockmagic.commands.buildcontext import read_ignore
from dockmagic.commands.buildsource import Source
from dockmagic.commands.errors import CommandError
from dockmagic.dockerfile import check
from dockmagic.views.checks import Checks, Finding
from dockmagic.views.view import View


def findings(source: Source, folder: Path | None = None, target: str = "", *, all_stages: bool = True) -> list[Finding]:
    """What the checks find, by line. Errors that would stop a build are the build's to tell."""
    ignore = read_ignore(folder, source.name) if folder is not None else None
    report = check(source.text, target=target, ignore=ignore, all_stages=all_stages, own_rules=False)
    return [Finding(w.rule, w.detail, w.description, w.url, w.line) for w in report.warnings]


def show_checks(source: Source | None, folder: Path | None = None, target: str = "") -> View:
    """The view of a Dockerfile's checks. Raises CommandError when it can't be read, or has findings."""
    if source is None:
        raise CommandError("ERROR: --check wants a Dockerfile that is here, not an archive or a URL")
    source.refuse()
    found = findings(source, folder, target)
    view = Checks(source.text, found, source.name)
    if found:
        count = len(found)
        raise CommandError(f"Check complete, {count} warning{'' if count == 1 else 's'} found!", 1, view)
    return view
