"""From a Dockerfile to stages with steps: BuildKit's ``toDispatchState``. Nothing runs here, but base images are found.

Everything that can be wrong with the file, or with what it names, is found before the first step starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dockmagic.builder import epoch, graph
from dockmagic.builder.config import ImageConfig
from dockmagic.builder.dispatch import Dispatcher
from dockmagic.builder.frames import Framer
from dockmagic.builder.graph import SCRATCH, StageGraph
from dockmagic.builder.model import StagePlan
from dockmagic.builder.named import NamedContexts
from dockmagic.builder.naming import prefixed
from dockmagic.builder.request import BuildError
from dockmagic.dockerfile.commands import Stage
from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.expand import GlobalScope, StageScope, platform_args
from dockmagic.dockerfile.golang import quote
from dockmagic.dockerfile.instructions import instructions
from dockmagic.dockerfile.parser import parse
from dockmagic.dockerfile.source import Range
from dockmagic.errors import DockmagicError, InvalidParameter, NotFound
from dockmagic.images.protocols import Image
from dockmagic.images.reference import Reference
from dockmagic.platforms import Platform


class Resolver(Protocol):
    """Finds base images: in the store, else in a registry."""

    def image(self, reference: Reference, platform: Platform | None, vertex: str) -> Image:
        """Raises NotFound and what the registry client raises. ``vertex`` names the look-up in the progress."""
        ...


@dataclass
class Options:
    """What a plan needs of the request, the frontend's attributes already merged in."""

    build_args: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    target: str = ""
    platform: Platform | None = None
    """What was asked for; None is this machine's."""
    multi_platform: bool = False
    no_cache: bool = False
    no_cache_filter: Sequence[str] = ()
    build_platform: Platform = field(default_factory=Platform.host)

    @property
    def target_platform(self) -> Platform:
        return self.platform or self.build_platform


class Planner:
    """Plans one Dockerfile for one platform."""

    def __init__(
        self,
        text: str,
        filename: str,
        options: Options,
        resolver: Resolver,
        contexts: NamedContexts,
        context_epoch: int | None = None,
    ) -> None:
        """``context_epoch``: when the build context was made (git, http), for ``SOURCE_DATE_EPOCH=context``."""
        self.framer = Framer(text, filename)
        self._text = text
        self._options = options
        self._resolver = resolver
        self._contexts = contexts
        self._context_epoch = context_epoch
        self._graph = StageGraph()
        self.epoch: int | None = None
        """SOURCE_DATE_EPOCH in seconds"""

    def plan(self) -> StagePlan:
        """The target, with the steps of all it needs. Raises BuildError."""
        try:
            return self._plan()
        except BuildError:
            raise
        except DockmagicError as error:
            raise self.framer.error(error) from error

    def _plan(self) -> StagePlan:
        if not self._text.strip():
            raise InvalidParameter("the Dockerfile cannot be empty")
        tree = parse(self._text)
        stages, meta_args = instructions(tree)
        if not stages:
            raise InvalidParameter("dockerfile contains no stages to build")
        options = self._options
        predefined = platform_args(
            str(options.build_platform),
            str(options.target_platform),
            options.target or stages[-1].name,
            options.build_args,
        )
        scope = GlobalScope(meta_args, options.build_args, predefined, tree.escape)
        self.epoch = epoch.resolve(scope, stages, self._contexts, self._context_epoch)
        for stage in stages:
            self._add_stage(stage, scope)
        target = self._graph.target(options.target)
        self._connect(tree.escape)
        self._resolve_all(target, tree.escape)
        self._dispatch_all(target, scope)
        assert target.config is not None, "a dispatched stage has a config"
        self._finish(target.config)
        return target

    def _add_stage(self, stage: Stage, scope: GlobalScope) -> None:
        place = stage.origin.range
        try:
            plan = StagePlan(stage.name, graph.base_name(stage, scope), stage, stage.line)
            if stage.platform:
                plan.platform = self._platform(stage.platform, scope)
        except DockmagicError as error:
            raise self.framer.error(error, place) from error
        if stage.name:
            plan.named = self._contexts.find(stage.name, plan.platform or self._options.target_platform)
        if plan.named is None:
            plan.name = stage.name or f"stage-{stage.index}"
        self._graph.add(plan)
        if plan.named is not None:
            plan.base = None
            return
        from_image = plan.base_name != SCRATCH and plan.base is None
        plan.total = int(from_image) + sum(
            type(command).__name__ in {"Add", "Copy", "Run", "Workdir"} for command in stage.commands
        )
        plan.no_cache = graph.no_cache(stage, self._options.no_cache, self._options.no_cache_filter)

    @staticmethod
    def _platform(expression: str, scope: GlobalScope) -> Platform:
        text = scope.expand(expression).result
        if not text:
            raise InvalidParameter(f"empty platform value from expression {expression}")
        try:
            return Platform.parse(text)
        except InvalidParameter as error:
            raise InvalidParameter(f"failed to parse platform {expression}: {error}") from error

    def _connect(self, escape: str) -> None:
        try:
            self._graph.connect(escape)
        except DockerfileError:
            raise
        except InvalidParameter as error:
            raise self.framer.error(error) from error

    def _resolve_all(self, target: StagePlan, escape: str) -> None:
        """Find the base images; triggers in them may need more stages, and these more images."""
        more = True
        while more:
            more = False
            for plan in graph.reachable(target):
                if plan.base is None and not plan.resolved:
                    plan.resolved = True
                    self._resolve(plan)
            for plan in graph.reachable(target):
                if plan.triggers_done or plan.named is not None:
                    continue
                plan.triggers_done = True
                inherited = plan.config.triggers if plan.base is None and plan.config else []
                expressions = [*inherited, *graph.inherited_triggers(plan)]
                if plan.config is not None:
                    plan.config.config.pop("OnBuild", None)
                if expressions:
                    more = self._graph.add_triggers(plan, expressions, escape) or more

    def _resolve(self, plan: StagePlan) -> None:
        place = _place(plan)
        options = self._options
        platform = plan.platform or options.target_platform
        try:
            if plan.base_name == SCRATCH and plan.named is None:
                plan.platform = options.target_platform
                plan.config = ImageConfig.empty(plan.platform)
                plan.dispatched = plan.implicit
                return
            named = plan.named or self._contexts.find(plan.base_name, platform)
            if named is not None:
                self._use_named(plan, named, platform)
                plan.dispatched = plan.dispatched or plan.implicit or plan.named is not None
                return
            reference = self._reference(plan.base_name)
            self._use_image(plan, reference, platform)
        except (DockerfileError, BuildError):
            raise
        except DockmagicError as error:
            raise self.framer.error(error, place) from error
        plan.dispatched = plan.implicit

    @staticmethod
    def _reference(name: str) -> Reference:
        try:
            return Reference.parse(name)
        except InvalidParameter as error:
            raise InvalidParameter(f"failed to parse stage name {quote(name)}: {error}") from error

    def _use_named(self, plan: StagePlan, named: object, platform: Platform) -> None:
        reference = self._contexts.image_reference(named)
        if reference == SCRATCH:
            plan.platform = platform
            plan.config = ImageConfig.empty(platform)
        elif reference:
            self._use_image(plan, Reference.parse(reference), platform)
        else:
            plan.platform = platform
            plan.config = ImageConfig.empty(platform)
            plan.source = self._contexts.tree(named)

    def _use_image(self, plan: StagePlan, reference: Reference, platform: Platform) -> None:
        vertex = f"[internal] load metadata for {reference}"
        try:
            image = self._resolver.image(
                reference, platform if plan.platform or self._options.platform else None, vertex
            )
        except NotFound as error:
            message = f"failed to resolve source metadata for {reference}: {reference}: not found"
            name = plan.base_name
            raise NotFound(f"{name}: {message}") from error
        plan.image = image
        plan.base_label = str(reference)
        plan.config = ImageConfig(image.config)
        plan.platform = platform

    def _dispatch_all(self, target: StagePlan, scope: GlobalScope) -> None:
        needed = set(graph.reachable(target))
        dispatcher = Dispatcher(scope, self._options, self.epoch)
        for plan in list(self._graph.plans):
            if plan not in needed or plan.dispatched:
                continue
            if plan.base is not None:
                assert plan.base.config is not None and plan.base.scope is not None, "bases come first in the file"
                plan.config = plan.base.config.child()
                plan.platform = plan.base.platform
                plan.scope = plan.base.scope.child()
            plan.dispatched = True
            if plan.config is None:
                raise InvalidParameter(f"stage {plan.name} has no base")
            plan.config.ensure_path()
            if plan.scope is None:
                plan.scope = StageScope(scope, plan.config.environment)
            plan.config.set_workdir(str(plan.config.config.get("WorkingDir") or "/"))
            if plan.image is not None:
                plan.base_label = prefixed(plan, f"FROM {plan.base_label}", self._shown_platform(plan))
            for command in plan.commands:
                try:
                    dispatcher.dispatch(plan, command)
                except (DockerfileError, BuildError) as error:
                    raise self.framer.error(error, command.instruction.range) from error
                except DockmagicError as error:
                    raise self.framer.error(error, command.instruction.range) from error

    def _shown_platform(self, plan: StagePlan) -> Platform | None:
        return (plan.platform or self._options.target_platform) if self._options.multi_platform else None

    def _finish(self, config: ImageConfig) -> None:
        options = self._options
        if options.labels:
            config.config["Labels"] = {**(config.config.get("Labels") or {}), **options.labels}
        if options.platform is not None:
            config.set_platform(options.platform)


def _place(plan: StagePlan) -> Range | None:
    if plan.stage is not None:
        return plan.stage.origin.range
    return None


def merge_attributes(attributes: Mapping[str, str], prefix: str, values: Mapping[str, str | None]) -> dict[str, str]:
    """Values of the request, and those in attributes such as ``build-arg:NAME``; None means not given."""
    merged = {name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)}
    merged.update({name: value for name, value in values.items() if value is not None})
    return merged
