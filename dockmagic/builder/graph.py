"""Stages as a graph: who begins with whom, who copies from whom, what the target needs, and what goes in circles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dockmagic.builder.model import Command, StagePlan
from dockmagic.dockerfile.commands import Copy, Instruction, OnBuild, Run, Stage
from dockmagic.dockerfile.expand import GlobalScope
from dockmagic.dockerfile.instructions import trigger
from dockmagic.dockerfile.shell import Lexer
from dockmagic.dockerfile.suggest import with_suggestion
from dockmagic.errors import InvalidParameter

SCRATCH = "scratch"
_NO_EXPANSION = (
    "variable expansion is not supported for --from, "
    "define a new stage with FROM using ARG from global scope as a workaround"
)


class StageGraph:
    """The stages of a file in order, and after them the images that ``--from`` names."""

    def __init__(self) -> None:
        self.plans: list[StagePlan] = []
        self._names: dict[str, StagePlan] = {}

    def add(self, plan: StagePlan) -> None:
        """Put a stage behind the others; one of them with its base's name becomes its base."""
        self.plans.append(plan)
        plan.base = self._names.get(plan.base_name)
        if plan.explicit_name:
            self._names[plan.explicit_name.lower()] = plan

    def find(self, name: str) -> StagePlan | None:
        return self._names.get(name.lower())

    def at(self, index: int) -> StagePlan:
        if not 0 <= index < len(self.plans):
            raise InvalidParameter(f"invalid stage index {index}")
        return self.plans[index]

    def names(self) -> list[str]:
        return [plan.name for plan in self.plans if plan.name]

    def target(self, name: str) -> StagePlan:
        """The stage to build: the last, or the one of that name or number."""
        if not name:
            return self.plans[-1]
        found = self.find(name)
        if found is None and name.isdecimal() and int(name) < len(self.plans):
            found = self.plans[int(name)]
        if found is None:
            message = f'target stage "{name}" could not be found'
            raise InvalidParameter(with_suggestion(message, name, self.names()))
        return found

    def connect(self, scope_escape: str = "\\") -> None:
        """Find what each instruction reads from. Raises InvalidParameter for what is not there, and for circles."""
        for plan in list(self.plans):
            for instruction in plan.stage.commands if plan.stage else ():
                plan.commands.append(self._command(plan, instruction, scope_escape))
        self._refuse_circles()
        if len(self.plans) == 1:
            self.plans[0].name = ""

    def add_triggers(self, plan: StagePlan, expressions: Sequence[str], escape: str) -> bool:
        """Put ONBUILD triggers in front of a stage's commands; whether they read from other stages."""
        commands = []
        for expression in expressions:
            instruction = trigger(expression, plan.stage.origin if plan.stage else None)
            command = self._command(plan, instruction, escape)
            command.triggered = True
            commands.append(command)
        plan.commands[:0] = commands
        plan.total += len(commands)
        return any(command.sources for command in commands)

    def _command(self, plan: StagePlan, instruction: Instruction, escape: str) -> Command:
        command = Command(instruction)
        if isinstance(instruction, Copy) and instruction.from_:
            command.sources = [self._copy_source(instruction, escape)]
        elif isinstance(instruction, Run):
            command.sources = [
                self._mount_source(instruction, mount.from_) if mount.from_ and mount.type != "tmpfs" else None
                for mount in instruction.mounts
            ]
        for source in command.sources:
            if source is not None:
                plan.dependencies.setdefault(source, instruction)
                if source.implicit and source not in self.plans:
                    self.add(source)
        return command

    def _copy_source(self, instruction: Copy, escape: str) -> StagePlan:
        name = instruction.from_
        if Lexer(escape).word(name, {}) != name:
            raise InvalidParameter(_NO_EXPANSION)
        if re.fullmatch(r"[+-]?[0-9]+", name):
            return self.at(int(name))
        return self.find(name) or _implicit(name, instruction)

    def _mount_source(self, instruction: Run, name: str) -> StagePlan:
        return self.find(name) or _implicit(name, instruction)

    def _refuse_circles(self) -> None:
        done: set[StagePlan] = set()

        def visit(plan: StagePlan, above: list[StagePlan]) -> None:
            if plan in above:
                raise InvalidParameter(f"circular dependency detected on stage: {plan.name}")
            if plan in done:
                return
            for needed in needs(plan):
                visit(needed, [*above, plan])
            done.add(plan)

        for plan in self.plans:
            visit(plan, [])


def _implicit(name: str, instruction: Instruction) -> StagePlan:
    return StagePlan("", name, line=instruction.line, implicit=True)


def needs(plan: StagePlan) -> Iterator[StagePlan]:
    """The stages whose results a stage uses."""
    if plan.base is not None:
        yield plan.base
    yield from plan.dependencies


def reachable(target: StagePlan) -> list[StagePlan]:
    """The target and all it needs, those first that others need."""
    order: list[StagePlan] = []
    seen: set[StagePlan] = set()

    def visit(plan: StagePlan) -> None:
        if plan in seen:
            return
        seen.add(plan)
        for needed in needs(plan):
            visit(needed)
        order.append(plan)

    visit(target)
    return order


def inherited_triggers(plan: StagePlan) -> list[str]:
    """The ONBUILD texts of the stage that a stage begins with."""
    if plan.base is None:
        return []
    return [c.instruction.expression for c in plan.base.commands if isinstance(c.instruction, OnBuild)]


def base_name(stage: Stage, scope: GlobalScope) -> str:
    """The image or stage of a FROM, expanded."""
    name = scope.expand(stage.base).result
    if not name:
        raise InvalidParameter(f"base name ({stage.base}) should not be blank")
    return name


def no_cache(stage: Stage, whole: bool, filters: Sequence[str]) -> bool:
    """Whether ``--no-cache`` or one of ``--no-cache-filter``'s names means the stage."""
    return whole or any(stage.name == name.lower() for name in filters)


def filter_names(attributes: Mapping[str, str], filters: Sequence[str]) -> tuple[bool, list[str]]:
    """``no-cache`` as frontend attribute: everything, or the stages it lists."""
    value = attributes.get("no-cache")
    if value is None:
        return False, list(filters)
    return (not value, [*filters, *[name for name in value.split(",") if name]])
