"""Checks of a stage's instructions, in the order in which a build would come to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dockmagic.dockerfile.commands import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    HealthCheck,
    Instruction,
    Label,
    OnBuild,
    Shell,
    Stage,
    Transfer,
    Workdir,
)
from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.expand import StageScope
from dockmagic.dockerfile.gitref import NotGit, read_git_reference
from dockmagic.dockerfile.golang import quote
from dockmagic.dockerfile.ignore import Ignore, clean
from dockmagic.dockerfile.lint import rules
from dockmagic.dockerfile.lint.report import Linter
from dockmagic.dockerfile.ports import Oddity, parse_ports
from dockmagic.dockerfile.suggest import nearest

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_WHOLE_CONTEXT = frozenset({"*", "**", "**/*"})


@dataclass(eq=False)
class StageState:
    """A stage while it is checked."""

    stage: Stage
    name: str
    image_name: str = ""
    """What it begins with, expanded: an image, or the name of ``base``."""
    base: StageState | None = None
    dependencies: list[tuple[StageState, Instruction]] = field(default_factory=list)
    commands: list[Instruction] = field(default_factory=list)
    """With the triggers of the base in front."""
    scope: StageScope | None = None
    env_known: bool = True
    """Whether the base image's variables are known: if not, a name that nothing defines may be one of them."""
    has_shell: bool = False
    workdir_set: bool = False
    onbuild: list[str] = field(default_factory=list)
    used: dict[type[Instruction], Instruction] = field(default_factory=dict)
    """The last CMD, ENTRYPOINT and HEALTHCHECK."""


class StageChecker:
    """Walks over the instructions of one stage."""

    def __init__(self, state: StageState, scope: StageScope, linter: Linter, ignore: Ignore | None) -> None:
        self.state = state
        self.scope = scope
        self.linter = linter
        self.ignore = ignore
        scope.on_unmatched = self._undefined

    def check(self, command: Instruction) -> None:
        """Check one instruction and apply it. DockerfileError (with its place) is what would stop the build here."""
        try:
            command = self.scope.expand(command)
            self._check(command)
        except DockerfileError as error:
            raise error.at(command.range) from None

    def _check(self, command: Instruction) -> None:
        state = self.state
        if isinstance(command, Env):
            for pair in command.pairs:
                self._legacy(command, pair.legacy)
                self._secret(command, "ENV", pair.key)
            self.scope.define(command.pairs)
        elif isinstance(command, Label):
            for pair in command.pairs:
                self._legacy(command, pair.legacy)
        elif isinstance(command, Arg):
            for arg in command.args:
                self._secret(command, "ARG", arg.key)
            self.scope.declare(command)
        elif isinstance(command, Workdir):
            if not state.workdir_set and not command.path.startswith("/"):
                self._warn(rules.WORKDIR_RELATIVE_PATH, command, quote(command.path))
            state.workdir_set = True
        elif isinstance(command, (Cmd, Entrypoint)):
            self._used_once(command)
            if command.shell_form and not state.has_shell:
                self._warn(rules.JSON_ARGS_RECOMMENDED, command, command.keyword)
        elif isinstance(command, HealthCheck):
            self._used_once(command)
        elif isinstance(command, Shell):
            state.has_shell = True
        elif isinstance(command, Expose):
            parse_ports(command.ports, lambda oddity, port: self._port(command, oddity, port))
        elif isinstance(command, OnBuild):
            state.onbuild.append(command.expression)
        elif isinstance(command, Transfer):
            self._sources(command)

    def _warn(self, rule: rules.Rule, command: Instruction, *values: str, suggestion: str = "") -> None:
        self.linter.warn(rule, command.range, *values, comments=command.node.comments, suggestion=suggestion)

    def _legacy(self, command: Instruction, legacy: bool) -> None:
        if legacy:
            self._warn(rules.LEGACY_KEY_VALUE_FORMAT, command, command.keyword)

    def _secret(self, command: Instruction, keyword: str, key: str) -> None:
        if _SECRET.search(key) and not _NO_SECRET.search(key):
            self._warn(rules.SECRETS_USED_IN_ARG_OR_ENV, command, keyword, quote(key))

    def _used_once(self, command: Instruction) -> None:
        """The one that is overridden gets the warning."""
        previous = self.state.used.get(type(command))
        if previous is not None:
            self._warn(rules.MULTIPLE_INSTRUCTIONS_DISALLOWED, previous, command.keyword)
        self.state.used[type(command)] = command

    def _port(self, command: Instruction, oddity: Oddity, port: str) -> None:
        rule = rules.EXPOSE_PROTO_CASING if oddity is Oddity.PROTOCOL_CASE else rules.EXPOSE_INVALID_FORMAT
        self._warn(rule, command, port)

    def _sources(self, command: Transfer) -> None:
        ignore = self.ignore
        # With "!" patterns it cannot be told from the name: a folder may be ignored and a file in it not.
        if ignore is None or ignore.exclusions or (isinstance(command, Copy) and command.from_):
            return
        verb = "Add" if isinstance(command, Add) else "Copy"
        for written in command.sources:
            if _is_remote(written):
                continue
            source = clean(written)
            if source in {".", "/"} and not any(pattern.text in _WHOLE_CONTEXT for pattern in ignore.patterns):
                continue
            if ignore.matches_or_parent_matches(source):
                self._warn(rules.COPY_IGNORED_FILE, command, verb, quote(source))

    def _undefined(self, command: Instruction, names: tuple[str, ...]) -> None:
        for name in names:
            suggestion = nearest(name, self.scope.env) or ""
            if suggestion or self.state.env_known:
                self._warn(rules.UNDEFINED_VAR, command, name, suggestion=suggestion and f"${suggestion}")


def _is_remote(source: str) -> bool:
    """A URL or a git reference: not a path in the context."""
    if source.startswith(("http://", "https://")):
        return True
    try:
        return not read_git_reference(source).like_local_path
    except NotGit:
        return False
    except DockerfileError:
        return True
