"""Where names get their values: the scopes of ARG and ENV, and instructions with their variables replaced.

A file has one GlobalScope (the ARGs before the first FROM, and what the builder predefines) and one StageScope a
stage; ``FROM stage`` makes a child of that stage's scope. The rules are BuildKit's: an ARG takes the build argument,
else its default, else the global value; later instructions win over earlier ones, be they ARG or ENV; a stage inherits
the ARGs of the stage it begins with, but not those of its file's other stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from dockmagic.dockerfile.commands import (
    Add,
    Arg,
    ArgDefault,
    Env,
    Expose,
    InlineFile,
    Instruction,
    KeyValue,
    Label,
    Run,
    StopSignal,
    Transfer,
    User,
    Volume,
    Workdir,
)
from dockmagic.dockerfile.errors import DockerfileError, InstructionError
from dockmagic.dockerfile.mounts import Expand, parse_mount
from dockmagic.dockerfile.shell import Expansion, Lexer

PROXY_ARGS = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})
"""Build arguments (in either case) that every RUN gets without an ARG, and that stay out of history and cache keys."""
NOT_IN_ENVIRONMENT = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
"""ARGs that are known to the builder but never become variables."""

AnyInstruction = TypeVar("AnyInstruction", bound=Instruction)
OnUnmatched = Callable[[Instruction, tuple[str, ...]], None]


def platform_args(
    build: str, target: str, stage: str = "", overrides: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The predefined platform ARGs, from platforms like ``linux/arm/v7``; ``stage`` is ``--target``.

    They have their values in every FROM; a stage has to declare those it wants. A build argument overrides them.
    """
    values: dict[str, str] = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        system, architecture, variant = (*platform.split("/", 2), "", "")[:3]
        system, _, version = system.partition("(")
        values[f"{prefix}PLATFORM"] = platform
        values[f"{prefix}OS"] = system
        values[f"{prefix}OSVERSION"] = version.rstrip(")")
        values[f"{prefix}ARCH"] = architecture
        values[f"{prefix}VARIANT"] = variant
    values["TARGETSTAGE"] = stage or "default"
    given = overrides or {}
    return {name: given.get(name, value) for name, value in values.items()}


def proxy_variables(build_args: Mapping[str, str]) -> dict[str, str]:
    """The proxy settings among the build arguments, in both cases, as every RUN gets them."""
    proxies: dict[str, str] = {}
    for name, value in build_args.items():
        if name.lower() in PROXY_ARGS:
            proxies[name.upper()] = proxies[name.lower()] = value
    return proxies


class GlobalScope:
    """What FROM sees, and what ``ARG NAME`` in a stage takes its value from."""

    def __init__(
        self,
        meta_args: Iterable[Arg] = (),
        build_args: Mapping[str, str] | None = None,
        predefined: Mapping[str, str] | None = None,
        escape: str = "\\",
    ) -> None:
        """``predefined`` is mostly ``platform_args(…)``. A bad default raises ExpansionError with its place."""
        self.build_args = dict(build_args or {})
        self.lexer = Lexer(escape)
        self.values = dict(predefined or {})
        self.declared = set(self.values)
        """Names that FROM may use without a warning, those without a value too."""
        for instruction in meta_args:
            for arg in instruction.args:
                self._declare(instruction, arg)

    def _declare(self, instruction: Arg, arg: ArgDefault) -> None:
        value = self.build_args.get(arg.key)
        if value is None and arg.value is not None:
            try:
                value = self.lexer.word(arg.value, self.values)
            except DockerfileError as error:
                raise error.at(instruction.range) from None
        if value is not None:
            self.values[arg.key] = value
        self.declared.add(arg.key)

    def expand(self, word: str) -> Expansion:
        """A word of a FROM: its base or its platform."""
        return self.lexer.expand(word, self.values)


@dataclass(frozen=True)
class ArgValue:
    """A declared ARG of a stage and what it became; None without a value."""

    key: str
    value: str | None


class StageScope:
    """The variables of a stage, changed by its ENV and ARG instructions as they come."""

    def __init__(self, globals: GlobalScope, image_env: Iterable[str] = (), parent: StageScope | None = None) -> None:
        """``image_env`` is the base image's ``NAME=value`` list; not looked at with a ``parent`` (``FROM stage``)."""
        self.globals = globals
        self.env: dict[str, str] = dict(parent.env) if parent else dict(_split_env(entry) for entry in image_env)
        """What instructions see and RUN gets: the image's, ENV's and ARG's."""
        self.config_env: dict[str, str] = dict(parent.config_env) if parent else dict(self.env)
        """What the image keeps: without ARG's."""
        self.args: list[ArgValue] = list(parent.args) if parent else []
        """Every ARG so far, in order; names may come twice."""
        self.on_unmatched: OnUnmatched | None = None
        """Called with an instruction and the names in it that nothing defines (a hook for checks)."""

    def child(self) -> StageScope:
        """The scope of a stage that begins with this one's result."""
        return StageScope(self.globals, parent=self)

    def declare(self, instruction: Arg) -> list[ArgValue]:
        """Apply an ARG instruction; the values are for its line in the history."""
        declared = []
        for arg in instruction.args:
            value = self.globals.build_args.get(arg.key)
            if value is None and arg.value is not None:
                value = self.word(instruction, arg.value)
            elif value is None:
                value = self.globals.values.get(arg.key)
            if value is not None and arg.key not in NOT_IN_ENVIRONMENT:
                self.env[arg.key] = value
            result = ArgValue(arg.key, value)
            self.args.append(result)
            declared.append(result)
        return declared

    def define(self, pairs: Iterable[KeyValue]) -> None:
        """Apply an (already expanded) ENV instruction."""
        for pair in pairs:
            self.env[pair.key] = pair.value
            self.config_env[pair.key] = pair.value

    def run_args(self) -> dict[str, str]:
        """The ARGs that a RUN's history line and cache key name, each once, with the value that its environment has."""
        return {arg.key: self.env.get(arg.key, arg.value or "") for arg in self.args}

    def word(self, instruction: Instruction, word: str) -> str:
        """Expand one word of an instruction; an error gets the instruction's place."""
        return self._expand(self.globals.lexer, instruction, word).result

    def expand(self, instruction: AnyInstruction) -> AnyInstruction:
        """The instruction with its variables replaced; itself where its kind has none (RUN's command, CMD, …).

        ARG is not touched: ``declare`` does it, for a default that is not used is not looked at.
        """
        if isinstance(instruction, Expose):
            return replace(instruction, ports=self._ports(instruction))
        return expand_instruction(instruction, self._expander(instruction), self._raw_expander(instruction))

    def _ports(self, instruction: Expose) -> tuple[str, ...]:
        lexer = self.globals.lexer
        return tuple(word for port in instruction.ports for word in self._expand(lexer, instruction, port).words)

    def _expander(self, instruction: Instruction) -> Expand:
        return lambda word: self.word(instruction, word)

    def _raw_expander(self, instruction: Instruction) -> Expand:
        lexer = Lexer("\\", skip_quotes=True)
        return lambda text: self._expand(lexer, instruction, text).result

    def _expand(self, lexer: Lexer, instruction: Instruction, word: str) -> Expansion:
        try:
            expansion = lexer.expand(word, self.env)
        except DockerfileError as error:
            raise error.at(instruction.range) from None
        if expansion.unmatched and self.on_unmatched and not isinstance(instruction, Expose):
            self._report(instruction, expansion.unmatched)
        return expansion

    def _report(self, instruction: Instruction, unmatched: tuple[str, ...]) -> None:
        known = {arg.key for arg in self.args} | NOT_IN_ENVIRONMENT
        unknown = tuple(name for name in unmatched if name not in known)
        if unknown and self.on_unmatched:
            self.on_unmatched(instruction, unknown)


def expand_instruction(instruction: AnyInstruction, expand: Expand, expand_raw: Expand | None = None) -> AnyInstruction:
    """A copy of the instruction with ``expand`` applied to each word that has variables.

    ``expand_raw`` is for the bodies of heredocs, where quotes are plain characters; without it they stay as they are.
    """
    changed: Instruction = instruction
    if isinstance(instruction, (Env, Label)):
        changed = replace(instruction, pairs=tuple(_pair(pair, expand) for pair in instruction.pairs))
    elif isinstance(instruction, Transfer):
        changed = _transfer(instruction, expand, expand_raw)
    elif isinstance(instruction, Run):
        changed = _run(instruction, expand)
    elif isinstance(instruction, Workdir):
        changed = replace(instruction, path=expand(instruction.path))
    elif isinstance(instruction, User):
        changed = replace(instruction, user=expand(instruction.user))
    elif isinstance(instruction, Volume):
        changed = replace(instruction, volumes=tuple(map(expand, instruction.volumes)))
    elif isinstance(instruction, StopSignal):
        changed = replace(instruction, signal=expand(instruction.signal))
    return changed  # type: ignore[return-value]  # replace() keeps the class


def _pair(pair: KeyValue, expand: Expand) -> KeyValue:
    return replace(pair, key=expand(pair.key), value=expand(pair.value))


def _transfer(instruction: Transfer, expand: Expand, expand_raw: Expand | None) -> Transfer:
    changed = replace(
        instruction,
        chown=expand(instruction.chown),
        chmod=expand(instruction.chmod),
        destination=expand(instruction.destination),
        sources=tuple(map(expand, instruction.sources)),
        exclude=tuple(map(expand, instruction.exclude)),
    )
    if isinstance(changed, Add):
        changed = replace(changed, checksum=expand(changed.checksum))
    if expand_raw is not None:
        changed = replace(changed, contents=tuple(_content(content, expand_raw) for content in changed.contents))
    return changed


def _content(content: InlineFile, expand_raw: Expand) -> InlineFile:
    return replace(content, data=expand_raw(content.data)) if content.expand else content


def _run(instruction: Run, expand: Expand) -> Run:
    try:
        return replace(instruction, mounts=tuple(parse_mount(mount.spec, expand) for mount in instruction.mounts))
    except InstructionError as error:
        # Found while building, not while reading: BuildKit's message is without the line then.
        raise InstructionError(error.message, error.range or instruction.range, prefixed=False) from None


def _split_env(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value
