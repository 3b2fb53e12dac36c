"""What planning makes and solving carries out: stages, their steps, and where files come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dockmagic.builder.chmod import Mode
from dockmagic.builder.config import ImageConfig
from dockmagic.dockerfile.commands import Instruction, Stage
from dockmagic.dockerfile.expand import StageScope
from dockmagic.dockerfile.gitref import GitReference
from dockmagic.dockerfile.mounts import Mount
from dockmagic.images.protocols import Image
from dockmagic.platforms import Platform


@dataclass(eq=False)
class Command:
    """An instruction of a stage, the stages it reads from (None where none), and whether a trigger brought it."""

    instruction: Instruction
    sources: list[StagePlan | None] = field(default_factory=list)
    triggered: bool = False


@dataclass(eq=False)
class StagePlan:
    """A stage on its way from the file to steps. ``implicit``: no FROM of the file, but ``--from=IMAGE``."""

    name: str
    """As progress and messages call it; "" when it is the only one."""
    base_name: str
    stage: Stage | None = None
    line: int = 0
    base: StagePlan | None = None
    platform: Platform | None = None
    named: Any = None
    """The named context that stands for the stage"""
    implicit: bool = False
    commands: list[Command] = field(default_factory=list)
    dependencies: dict[StagePlan, Instruction] = field(default_factory=dict)
    image: Image | None = None
    """The base image, when it begins with one."""
    source: Any = None
    """A context instead of an image, when it begins with one."""
    base_label: str = ""
    """The base as the FROM vertex names it."""
    config: ImageConfig | None = None
    scope: StageScope | None = None
    steps: list[Step] = field(default_factory=list)
    resolved: bool = False
    dispatched: bool = False
    triggers_done: bool = False
    no_cache: bool = False
    total: int = 0
    index: int = 0

    @property
    def explicit_name(self) -> str:
        return self.stage.name if self.stage else ""


@dataclass(eq=False)
class Step:
    """A unit of work that makes a layer."""

    name: str
    """The vertex's"""
    instruction: Instruction


@dataclass(frozen=True)
class RunMount:
    """A ``--mount`` of a RUN with its source found. ``stage`` None with a bind: the build context."""

    mount: Mount
    target: str
    stage: StagePlan | None = None


@dataclass(eq=False)
class RunStep(Step):
    """A process to run on top of the parent."""

    args: list[str]
    environment: dict[str, str]
    proxies: dict[str, str]
    """Not part of the cache key"""
    workdir: str
    user: str
    mounts: list[RunMount]
    network: str
    script: tuple[str, bytes] | None = None
    """A heredoc that begins with ``#!``: its name and body"""


@dataclass(eq=False)
class WorkdirStep(Step):
    """A folder to make, with its parents, for ``user``."""

    path: str
    user: str


@dataclass(frozen=True)
class CopyItem:
    """One source of a COPY or ADD: a path of a tree, a URL, a git repository or an inline file."""

    path: str = ""
    stage: StagePlan | None = None
    from_context: bool = False
    include: tuple[str, ...] = ()
    required: str = ""
    """A path that has to be there (``--parents`` without wildcards)"""
    unpack: bool = False
    url: str = ""
    filename: str = ""
    checksum: str = ""
    git: GitReference | None = None
    keep_git_dir: bool = False
    inline: bytes | None = None


@dataclass(eq=False)
class CopyStep(Step):
    """Files to put at ``destination``. ``link``: as a layer of its own, whatever the parent holds."""

    items: list[CopyItem]
    destination: str
    owner: str
    mode: Mode | None
    exclude: tuple[str, ...]
    link: bool
