"""``docker build --check``: BuildKit's build checks, shown on the Dockerfile's own lines."""

from __future__ import annotations

from pathlib import Path

from dockmagic.commands.buildcontext import read_ignore
from dockmagic.commands.buildsource import Source
from dockmagic.commands.errors import CommandError
from dockmagic.dockerfile.lint import RULES, check
from dockmagic.views.checks import Checks, Finding
from dockmagic.views.view import View


def findings(source: Source, folder: Path | None = None, target: str = "", *, all_stages: bool = True) -> list[Finding]:
    """What the checks find, by line: BuildKit's, then hints of our own. Errors are the build's to tell."""
    ignore = read_ignore(folder, source.name) if folder is not None else None
    report = check(source.text, target=target, ignore=ignore, all_stages=all_stages, own_rules=True)
    found = [Finding(w.rule, w.detail, w.description, w.url, w.line, RULES[w.rule].own) for w in report.warnings]
    return sorted(found, key=lambda finding: finding.own)


def show_checks(source: Source | None, folder: Path | None = None, target: str = "") -> View:
    """The checks of a Dockerfile. Raises CommandError when it can't be read, or BuildKit's rules find something."""
    if source is None:
        raise CommandError("ERROR: --check wants a Dockerfile that is here, not an archive or a URL")
    source.refuse()
    found = findings(source, folder, target)
    view = Checks(source.text, found, source.name)
    count = sum(not finding.own for finding in found)
    if count:
        said = "1 warning has been found" if count == 1 else f"{count} warnings have been found"
        raise CommandError(f"Check complete, {said}!", 1, view)
    return view
