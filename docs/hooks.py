"""What the pages have that is written by the code: every command's help, the table of flags, and CONTRIBUTING.md.

mkdocs calls :func:`on_files`. ``python docs/hooks.py`` writes commands.md again, which is kept in the repository for
those who read there; a test holds it to the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

    from dockmagic.commands.tree import DockerCommand

HERE = Path(__file__).parent
DOCKER = HERE / "docker-28.json"
"""Commands and flags of docker 28.2, as ``docker … --help`` lists them: {"container ls": ["all", …], …}.

Of build, those of the old builder and of buildx.
"""

NOTES = {"provenance": "false only", "sbom": "false only"}
"""What is to be said of a flag that is done."""

TOP = (
    "run", "create", "start", "stop", "restart", "kill", "rm", "ps", "exec", "attach", "logs", "inspect", "top",
    "stats", "port", "cp", "diff", "commit", "export", "wait", "pause", "unpause", "rename", "update", "build",
    "images", "pull", "push", "tag", "rmi", "save", "load", "import", "history", "login", "logout", "info", "version",
    "events", "search",
)  # fmt: skip
"""The forty commands people use most."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file holds."""
    from mkdocs.structure.files import File

    contributing = (HERE.parent / "CONTRIBUTING.md").read_text()
    for name, text in (("reference.md", reference()), ("contributing.md", contributing)):
        files.append(File.generated(config, name, content=text))
    return files


def reference() -> str:
    """Each command's help text, docker's own words less the flags that dockmagic has not."""
    from dockmagic.notebook import dockerfile, own

    lines = ["# Every command's help", ""]
    lines += ["What `--help` shows: of `%docker` and `dockmagic`, and of the magics of dockmagic's own.", ""]
    lines += ["## %%dockerfile", "", *_block(dockerfile.USAGE.text.replace("docker file", "%%dockerfile", 1))]
    for name, usage in (("dockerfile", own.DOCKERFILE), ("freeze", own.FREEZE), ("registry", own.REGISTRY)):
        lines += [f"## %dockmagic {name}", "", *_block(usage.text.replace("docker ", "%dockmagic ", 1))]
    for path, found in _commands():
        lines += [f"## {path}", "", *_block(found.usage.text)]
    return "\n".join(lines)


def _block(text: str) -> list[str]:
    return [*(f"    {line}".rstrip() for line in text.splitlines()), ""]


def _commands() -> Iterator[tuple[str, DockerCommand]]:
    """(its first name, the command), each once."""
    from dockmagic.commands import tree

    seen = set()
    for place in tree.PLACES:
        found = tree.find(place)
        if found is not None and found.usage.path not in seen:
            seen.add(found.usage.path)
            yield " ".join(found.usage.path), found


INTRODUCTION = """# docker's commands and flags, one by one

What `%docker …` and `dockmagic …` have of docker's command line (28.2). *Done* flags do what docker's do; *refused*
ones are answered with the reason; *absent* ones are answered as unknown flags. The table is written by the code
(`python docs/hooks.py`), and tests hold it to the code and to docker's own help.

The forty commands that people use most are all done: {top}.

A command with two names (`docker ps`, `docker container ls`) stands under the first.
"""


def commands_table() -> str:
    """commands.md."""
    from dockmagic.commands import tree

    docker: dict[str, list[str]] = json.loads(DOCKER.read_text())
    lines = [INTRODUCTION.format(top=", ".join(f"`{name}`" for name in TOP))]
    lines += ["| command | done | refused | absent | dockmagic's own |", "|---|---|---|---|---|"]
    told = set()
    own = []
    for path, found in _commands():
        names = {" ".join(p) for p in found.usage.paths} | {path}
        told |= names
        theirs = {flag for name in names for flag in docker.get(name, [])}
        if not names & set(docker):
            own.append((path, found.usage.short))
            continue
        ours = set(found.usage.flags)
        lines.append(_row(path, ours & theirs, found.refused, theirs - ours - set(found.refused), ours - theirs))
    lines += [
        "",
        "Commands of dockmagic's own: " + ", ".join(f"`{name}` ({_lower(short)})" for name, short in own) + ".",
    ]
    lines += ["", "Commands that are answered with the reason why they are not there:", ""]
    lines += ["| command | why |", "|---|---|"]
    for name, why in tree.ABSENT.items():
        lines.append(f"| `{name}` | {why} |")
    for name in sorted(tree.SWARM):
        lines.append(f"| `{name}` | needs a swarm, which dockmagic does not have |")
    refused = (*tree.ABSENT, *tree.SWARM)
    rest = sorted(name for name in docker if name not in told and name.split()[0] not in refused)
    rest = [name for name in rest if name not in tree.GROUPS]
    if rest:
        listed = ", ".join(f"`{name}`" for name in rest)
        lines += ["", f"Absent, answered as unknown commands: {listed}."]
    return "\n".join(lines) + "\n"


def _row(path: str, done: set[str], refused: dict[str, str], absent: set[str], own: set[str]) -> str:
    def listed(names: set[str]) -> str:
        return " ".join(f"`{name}`" + (f" ({NOTES[name]})" if name in NOTES else "") for name in sorted(names)) or "–"

    why = " ".join(f"`{name}` ({reason})" for name, reason in sorted(refused.items())) or "–"
    return f"| `{path}` | {listed(done)} | {why} | {listed(absent)} | {listed(own)} |"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


if __name__ == "__main__":
    (HERE / "commands.md").write_text(commands_table())
