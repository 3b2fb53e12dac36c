"""``check``: a Dockerfile's text to its warnings and the error that would stop its build, as BuildKit finds them.

The walk is BuildKit's: the tree, the instructions, FROM by FROM, then the stages that the target needs (or all) in
their order. Nothing is pulled: what a base image brings is known only if ``images`` tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dockmagic.dockerfile.commands import Arg, Copy, From, Instruction, Run, Stage, copy_source
from dockmagic.dockerfile.errors import DockerfileError, InstructionError
from dockmagic.dockerfile.expand import GlobalScope, StageScope, platform_args
from dockmagic.dockerfile.golang import quote
from dockmagic.dockerfile.ignore import Ignore
from dockmagic.dockerfile.instructions import instruction, trigger
from dockmagic.dockerfile.lint import file, own, rules
from dockmagic.dockerfile.lint.report import Linter, Options, Report, options_of
from dockmagic.dockerfile.lint.stage import StageChecker, StageState
from dockmagic.dockerfile.parser import parse
from dockmagic.dockerfile.shell import Expansion
from dockmagic.dockerfile.suggest import with_suggestion
from dockmagic.dockerfile.tree import Node
from dockmagic.errors import InvalidParameter
from dockmagic.platforms import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHECK_ARG = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that takes the place of the ``check`` directive."""


@dataclass(frozen=True)
class BaseImage:
    """What checks want to know of a base image."""

    env: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    onbuild: tuple[str, ...] = ()
    platform: str = ""


Images = Callable[[str, str], "BaseImage | None"]
"""Gives the image of a name and a platform, or None if it is not at hand."""


def check(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    ignore: Ignore | None = None,
    platform: str = "linux/amd64",
    build_platform: str = "",
    images: Images | None = None,
    all_stages: bool = True,
    own_rules: bool = True,
    recover: bool = False,
) -> Report:
    """Check a Dockerfile.

    ``ignore`` are the context's patterns. With ``all_stages`` (``build --check``) every stage is looked at, else those
    that ``target`` needs, as in a build. ``recover``: go on after an error, for unfinished files.
    """
    report = Report()
    arguments = dict(build_args or {})
    try:
        options = options_of(text, arguments.get(CHECK_ARG))
    except DockerfileError as error:
        report.error = error
        report.errors.append(error)
        if not recover:
            return report
        options = Options()
    checker = _Checker(Linter(options, own=own_rules), arguments, target, recover)
    checker.platform, checker.build_platform = platform, build_platform or platform
    checker.ignore, checker.images, checker.all_stages = ignore, images, all_stages
    try:
        checker.run(text)
        violation = checker.linter.violation()
        if violation is not None and not checker.errors:
            checker.errors.append(violation)
    except DockerfileError as error:
        checker.errors.append(error)
    report.errors += checker.errors
    report.error = report.errors[0] if report.errors else None
    report.warnings = checker.linter.sorted_warnings()
    return report


class _Checker:
    """One check."""

    platform: str
    build_platform: str
    ignore: Ignore | None
    images: Images | None
    all_stages: bool

    def __init__(self, linter: Linter, build_args: dict[str, str], target: str, recover: bool) -> None:
        self.linter = linter
        self.build_args = build_args
        self.target = target
        self.recover = recover
        self.errors: list[DockerfileError] = []
        self.states: list[StageState] = []

    def run(self, text: str) -> None:
        linter = self.linter
        tree = parse(text, recover=self.recover)
        self.errors += tree.errors
        file.check_continuations(tree, linter)
        stages, meta_args = self._instructions(tree.nodes)
        if not stages:
            self._fail(InstructionError("dockerfile contains no stages to build"))
            return
        file.check_stage_names(stages, linter)
        file.check_casing(stages, linter)
        target = self.target or stages[-1].name
        predefined = platform_args(self.build_platform, self.platform, target, self.build_args)
        try:
            scope = GlobalScope(meta_args, self.build_args, predefined, tree.escape)
        except DockerfileError as error:
            self._fail(error)
            return
        file.check_default_bases(stages, meta_args, scope, predefined, linter)
        bases: dict[str, StageState] = {}
        platforms: dict[StageState, str] = {}
        for stage in stages:
            self._add(stage, scope, bases, platforms)
        built = self._target(bases)
        self._find_dependencies(bases)
        wanted = self.states if self.all_stages or built is None else _reachable(built)
        for state in self.states:
            if state in wanted:
                self._stage(state, scope, platforms.get(state, self.platform))
        if linter.own and built is not None:
            own.check_stages(self.states, built, linter)

    def _fail(self, error: DockerfileError) -> None:
        if not self.recover:
            raise error
        self.errors.append(error)

    def _instructions(self, nodes: list[Node]) -> tuple[list[Stage], list[Arg]]:
        stages: list[tuple[From, list[Instruction]]] = []
        meta_args: list[Arg] = []
        for node in nodes:
            if node.error is not None and not node.heredocs:
                continue
            file.check_node(node, self.linter)
            try:
                command = instruction(node)
            except DockerfileError as error:
                self._fail(error)
                continue
            file.check_description(command, self.linter)
            if isinstance(command, From):
                stages.append((command, []))
            elif stages:
                stages[-1][1].append(command)
            elif isinstance(command, Arg):
                meta_args.append(command)
            else:
                self._fail(InstructionError("no build stage in current context", node.range, prefixed=False))
        return [Stage(index, origin, tuple(body)) for index, (origin, body) in enumerate(stages)], meta_args

    def _add(
        self, stage: Stage, scope: GlobalScope, bases: dict[str, StageState], platforms: dict[StageState, str]
    ) -> None:
        """A stage with its base and platform expanded."""
        state = StageState(stage, stage.name or f"stage-{stage.index}", commands=list(stage.commands))
        self.states.append(state)
        try:
            state.image_name = self._base(stage.origin, scope)
            state.base = bases.get(state.image_name)
            if stage.platform:
                platforms[state] = self._platform(stage.origin, scope)
        except DockerfileError as error:
            self._fail(error.at(stage.origin.range))
        if stage.name:
            bases[stage.name] = state

    def _base(self, origin: From, scope: GlobalScope) -> str:
        expansion = scope.expand(origin.base)
        file.check_undefined(origin, expansion, scope, self.linter)
        if not expansion.result:
            raise DockerfileError(f"base name ({origin.base}) should not be blank")
        return expansion.result

    def _platform(self, origin: From, scope: GlobalScope) -> str:
        expansion = scope.expand(origin.platform)
        file.check_undefined(origin, expansion, scope, self.linter)
        file.check_platform(origin, expansion, scope, self.linter)
        if not expansion.result:
            message = f"empty platform value from expression {origin.platform}"
            raise DockerfileError(_suggested(message, expansion, scope))
        try:
            return str(Platform.parse(expansion.result, Platform.parse(self.platform)))
        except InvalidParameter as error:
            message = _suggested(str(error), expansion, scope)
            raise DockerfileError(f"failed to parse platform {origin.platform}: {message}") from None

    def _target(self, bases: dict[str, StageState]) -> StageState | None:
        if not self.target:
            return self.states[-1]
        found = bases.get(self.target.lower()) or self._by_index(self.target)
        if found is None:
            names = [state.name for state in self.states]
            message = f"target stage {quote(self.target)} could not be found"
            self._fail(DockerfileError(with_suggestion(message, self.target, names)))
        return found

    def _find_dependencies(self, bases: dict[str, StageState]) -> None:
        for state in self.states:
            for command in state.commands:
                self._depend(state, command, bases)
        self._check_cycles()

    def _by_index(self, text: str) -> StageState | None:
        index = int(text) if re.fullmatch("[0-9]{1,6}", text) else -1
        return self.states[index] if 0 <= index < len(self.states) else None

    def _depend(self, state: StageState, command: Instruction, bases: dict[str, StageState]) -> None:
        """Note the stages that an instruction takes files from."""
        names = [mount.from_ for mount in command.mounts] if isinstance(command, Run) else []
        if isinstance(command, Copy) and command.from_:
            try:
                copy_source(command)
            except DockerfileError as error:
                self._fail(error)
                return
            if re.fullmatch(r"[+-]?[0-9]{1,6}", command.from_):
                found = self._by_index(command.from_.removeprefix("+"))
                if found is None:
                    self._fail(DockerfileError(f"invalid stage index {int(command.from_)}", command.range))
                else:
                    state.dependencies.append((found, command))
                return
            names = [command.from_]
        state.dependencies += [(bases[name.lower()], command) for name in names if name.lower() in bases]

    def _check_cycles(self) -> None:
        visited: set[StageState] = set()
        path: set[StageState] = set()

        def visit(state: StageState) -> Instruction | None:
            if state in visited:
                return None
            visited.add(state)
            path.add(state)
            for dependency, command in state.dependencies:
                if dependency in path:
                    return command
                if (found := visit(dependency)) is not None:
                    return found
            path.discard(state)
            return None

        for state in self.states:
            if (command := visit(state)) is not None:
                message = f"circular dependency detected on stage: {state.name}"
                self._fail(DockerfileError(message, command.range))
                return

    def _stage(self, state: StageState, globals: GlobalScope, platform: str) -> None:
        scope = self._begin(state, globals, platform)
        checker = StageChecker(state, scope, self.linter, self.ignore)
        for command in state.commands:
            try:
                source = next((found for found, by in state.dependencies if by is command), None)
                if isinstance(command, Copy) and source is not None and source.scope is None:
                    message = f"cannot copy from stage {quote(command.from_)}, it needs to be defined before current "
                    raise DockerfileError(f"{message}stage {quote(state.name)}", command.range)
                checker.check(command)
            except DockerfileError as error:
                self._fail(error)

    def _begin(self, state: StageState, globals: GlobalScope, platform: str) -> StageScope:
        """The scope and the triggers that a stage begins with."""
        base = state.base
        if base is not None and base.scope is not None:
            scope = base.scope.child()
            state.env_known, state.has_shell, state.workdir_set = base.env_known, base.has_shell, base.workdir_set
            triggers = base.onbuild
        else:
            image = BaseImage() if state.image_name == "scratch" else self._image(state, platform)
            state.env_known = image is not None
            image = image or BaseImage()
            state.has_shell = bool(image.shell)
            scope = StageScope(globals, image.env)
            triggers = list(image.onbuild)
        scope.env.setdefault("PATH", DEFAULT_PATH)
        state.scope = scope
        origin = state.stage.origin
        state.commands[:0] = [trigger(text, origin) for text in triggers]
        return scope

    def _image(self, state: StageState, platform: str) -> BaseImage | None:
        image = self.images(state.image_name, platform) if self.images else None
        if image is not None and image.platform:
            actual, expected = Platform.parse(image.platform), Platform.parse(platform)
            if (actual.os, actual.architecture) != (expected.os, expected.architecture):
                origin = state.stage.origin
                shown = quote(str(actual)), quote(str(expected))
                self.linter.warn(
                    rules.INVALID_BASE_IMAGE_PLATFORM,
                    origin.range,
                    state.image_name,
                    *shown,
                    comments=origin.node.comments,
                )
        return image


def _suggested(message: str, expansion: Expansion, scope: GlobalScope) -> str:
    for name in expansion.unmatched:
        suggested = with_suggestion(message, name, scope.values)
        if suggested != message:
            return suggested
    return message


def _reachable(target: StageState) -> set[StageState]:
    found: set[StageState] = set()
    waiting = [target]
    while waiting:
        state = waiting.pop()
        if state in found:
            continue
        found.add(state)
        waiting += [dependency for dependency, _ in state.dependencies]
        if state.base is not None:
            waiting.append(state.base)
    return found
