"""Checks of our own, where BuildKit is silent: what makes images big or builds slow, and secrets in plain sight.

They read RUN lines as text, not as a shell would: they look for the common shapes and say nothing when in doubt.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence

from dockmagic.dockerfile.commands import Add, Cmd, Copy, Entrypoint, Instruction, Run, Transfer, Workdir
from dockmagic.dockerfile.lint import rules
from dockmagic.dockerfile.lint.report import Linter
from dockmagic.dockerfile.lint.stage import StageState

_APT_UPDATE = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+)*update\b")
_APT_CLEANED = re.compile(r"\brm\b[^;&|\n]*/var/lib/apt(?:/|\s|$)")
_APT_LISTS = "/var/lib/apt/lists"
_INSTALL = re.compile(
    r"\b(?:pip3?\s+install\s+(?:-\S+\s+)*(?:-r|--requirement)\b|npm\s+(?:ci|install|i)\b|yarn\s+install\b|"
    r"pnpm\s+(?:install|i)\b|bundle\s+install\b|go\s+mod\s+download\b|composer\s+install\b|cargo\s+fetch\b|"
    r"poetry\s+install\b|pipenv\s+(?:install|sync)\b|uv\s+sync\b|dotnet\s+restore\b|"
    r"apt(?:-get)?\s+(?:-\S+\s+)*install\b|apk\s+(?:-\S+\s+)*add\b|(?:dnf|yum)\s+(?:-\S+\s+)*install\b)"
)
_SEPARATORS = re.compile(r"[;&|\n]+")
_OUTPUT = re.compile(r"""(?:\s(?:-o|-O|--output|--output-document)[\s=]+|>\s*)["']?(/[^\s"';&|]+)""")
_CLONE = re.compile(r"\bgit\s+clone\s[^;&|\n]*\s(/[^\s\"';&|]+)")
_WHOLE_CONTEXT = frozenset({".", "./", "*", "/"})
_SECRETS = {
    "an AWS access key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{22,}"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Slack token": re.compile(r"\bxox[baprs]-[A-Za-z0-9-]{10,}"),
    "a package registry's token": re.compile(r"\bpypi-[A-Za-z0-9_-]{32,}|\bnpm_[A-Za-z0-9]{36}\b"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}|\bAIza[0-9A-Za-z_-]{35}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a signed web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."),
    "a password in a URL": re.compile(r"://[^/\s:@$\"'<]+:[^/\s:@$\"'<]+@"),
    "an Authorization header": re.compile(r"Authorization:\s*(?:Bearer|Basic|token)\s+[A-Za-z0-9._~+/=-]{8,}", re.I),
}


def check_stages(states: Sequence[StageState], target: StageState, linter: Linter) -> None:
    """Run every check of ours."""
    for state in states:
        own_commands = state.stage.commands
        _check_copy_before_install(own_commands, linter)
        _check_secrets([state.stage.origin, *own_commands], linter)
    chain = _chain(target)
    layers = [command for state in chain for command in state.stage.commands]
    _check_apt_lists(layers, linter)
    _check_removed(layers, linter)
    _check_overridden(chain, linter)


def _chain(target: StageState) -> list[StageState]:
    """The stages whose layers the image has, from the first on."""
    chain: list[StageState] = []
    state: StageState | None = target
    while state is not None:
        chain.insert(0, state)
        state = state.base
    return chain


def _warn(linter: Linter, rule: rules.Rule, command: Instruction, *values: str) -> None:
    linter.warn(rule, command.range, *values, comments=command.node.comments)


def _script(command: Run) -> str:
    """What a RUN runs, heredocs included."""
    return "\n".join([" ".join(command.args), *(file.data for file in command.files)])


def _leaves_apt_lists(command: Instruction) -> bool:
    if not isinstance(command, Run):
        return False
    script = _script(command)
    mounted = any(mount.target.startswith("/var/lib/apt") for mount in command.mounts)
    return bool(_APT_UPDATE.search(script)) and not mounted and not _APT_CLEANED.search(script)


def _check_apt_lists(commands: Iterable[Instruction], linter: Linter) -> None:
    for command in commands:
        if _leaves_apt_lists(command):
            _warn(linter, rules.APT_LISTS_LEFT_BEHIND, command)


def _check_copy_before_install(commands: Sequence[Instruction], linter: Linter) -> None:
    for index, command in enumerate(commands):
        if not isinstance(command, (Copy, Add)) or not _WHOLE_CONTEXT.intersection(command.sources):
            continue
        if isinstance(command, Copy) and command.from_:
            continue
        for later in commands[index + 1 :]:
            match = _INSTALL.search(_script(later)) if isinstance(later, Run) else None
            if match:
                _warn(linter, rules.COPY_BEFORE_INSTALL, command, " ".join(match.group().split()), str(later.line))
                break


def _check_removed(commands: Iterable[Instruction], linter: Linter) -> None:
    made: dict[str, int] = {}
    folder = "/"
    for command in commands:
        if isinstance(command, Workdir):
            folder = posixpath.normpath(posixpath.join(folder, command.path))
        elif isinstance(command, Transfer):
            made |= dict.fromkeys(_copied(command, folder), command.line)
        elif isinstance(command, Run):
            script = _script(command)
            removed = list(_removed(script, folder))
            for path in removed:
                holder = next((line for held, line in made.items() if _is_in(held, path)), None)
                if holder is not None:
                    _warn(linter, rules.REMOVED_IN_LATER_LAYER, command, path, str(holder))
            made = {held: line for held, line in made.items() if not any(_is_in(held, path) for path in removed)}
            created = {*_OUTPUT.findall(script), *_CLONE.findall(script)} - {"/dev/null", "/dev/stdout", "/dev/stderr"}
            made |= {path: command.line for path in created if not any(_is_in(path, gone) for gone in removed)}
            if _leaves_apt_lists(command):
                made[f"{_APT_LISTS}/*"] = command.line


def _copied(command: Transfer, folder: str) -> Iterator[str]:
    destination = posixpath.normpath(posixpath.join(folder, command.destination))
    if command.destination.endswith("/") or len(command.sources) > 1:
        yield from (posixpath.join(destination, posixpath.basename(source)) for source in command.sources)
    elif destination != "/":
        yield destination


def _removed(script: str, folder: str) -> Iterator[str]:
    """The paths that a script's ``rm`` are given. After a ``cd`` only absolute ones are known."""
    moved = False
    for part in _SEPARATORS.split(script):
        words = part.split()
        if not words:
            continue
        if words[0] == "cd":
            moved = True
        if words[0] != "rm":
            continue
        for word in words[1:]:
            path = word.strip("\"'")
            if path.startswith("-") or "$" in path or (moved and not path.startswith("/")):
                continue
            yield posixpath.normpath(posixpath.join(folder, path))


def _is_in(held: str, path: str) -> bool:
    """Whether removing ``path`` (perhaps with wildcards) removes ``held``."""
    return held == path or held.startswith(f"{path.rstrip('/')}/") or fnmatch.fnmatchcase(held, path)


def _check_overridden(chain: Sequence[StageState], linter: Linter) -> None:
    command: Instruction | None = None
    entrypoint: Instruction | None = None
    for state in chain:
        last = {type(own): own for own in state.stage.commands if isinstance(own, (Cmd, Entrypoint))}
        new_command, new_entrypoint = last.get(Cmd), last.get(Entrypoint)
        replacing = new_command or new_entrypoint
        if command is not None and replacing is not None:
            _warn(linter, rules.COMMAND_OVERRIDDEN, command, "CMD", replacing.keyword.upper(), str(replacing.line))
        if entrypoint is not None and new_entrypoint is not None:
            line = str(new_entrypoint.line)
            _warn(linter, rules.COMMAND_OVERRIDDEN, entrypoint, "ENTRYPOINT", "ENTRYPOINT", line)
        # An ENTRYPOINT takes away the CMD that comes with the base.
        command = new_command or (None if new_entrypoint else command)
        entrypoint = new_entrypoint or entrypoint


def _check_secrets(commands: Iterable[Instruction], linter: Linter) -> None:
    for command in commands:
        text = "\n".join([command.code, *(heredoc.content for heredoc in command.node.heredocs)])
        for what, pattern in _SECRETS.items():
            if pattern.search(text):
                _warn(linter, rules.SECRET_BY_VALUE, command, command.keyword.upper(), what)
