"""Typed instructions: what each line of a Dockerfile says, as frozen values.

``instructions.py`` makes them from the tree. Nothing is expanded yet: ``$NAME`` stands as written until
``expand.py`` gives a copy with its value.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dockmagic.dockerfile.errors import InstructionError
from dockmagic.dockerfile.mounts import Mount
from dockmagic.dockerfile.source import Range
from dockmagic.dockerfile.tree import Node


@dataclass(frozen=True)
class Instruction:
    """What every instruction has."""

    keyword: str
    """As written: ``RUN`` or ``run``."""
    code: str
    """The instruction's source on one line, continuations joined; without the bodies of heredocs."""
    range: Range
    """From the keyword to the end of the last line, bodies of heredocs included."""
    node: Node = field(repr=False, compare=False)
    """The tree's node, with the place of every token."""

    @property
    def line(self) -> int:
        """The first line, from 1."""
        return self.range.start.line


@dataclass(frozen=True)
class KeyValue:
    """One pair of ENV or LABEL. ``legacy``: written ``KEY VALUE``, without ``=``."""

    key: str
    value: str
    legacy: bool = False


@dataclass(frozen=True)
class ArgDefault:
    """One name of an ARG; ``value`` is None without a default. ``doc``: the comment that describes it."""

    key: str
    value: str | None = None
    doc: str = ""


@dataclass(frozen=True)
class InlineFile:
    """A heredoc as the source of a COPY or ADD, or as a file of a RUN.

    ``data`` is the body; for COPY and ADD leading tabs are removed already when ``chomp``, for RUN they are still there
    (the shell of a plain ``RUN <<-EOF`` script removes them). ``expand``: the name was not quoted, so variables count.
    """

    name: str
    data: str
    chomp: bool = False
    expand: bool = False


@dataclass(frozen=True)
class From(Instruction):
    """``FROM [--platform=P] BASE [AS NAME]``. ``stage_name`` is lower case, "" without AS."""

    base: str = ""
    stage_name: str = ""
    platform: str = ""
    doc: str = ""


@dataclass(frozen=True)
class ShellCommand(Instruction):
    """What RUN, CMD and ENTRYPOINT have.

    ``args`` is the JSON form's list, or one string in the shell form; then ``shell_form`` is true and the stage's SHELL
    goes in front. With ``files`` the line holds heredocs: one file and a line of nothing else is a script.
    """

    args: tuple[str, ...] = ()
    shell_form: bool = True
    files: tuple[InlineFile, ...] = ()


@dataclass(frozen=True)
class Run(ShellCommand):
    """``RUN``. ``network``: default, none, host; ``security``: sandbox, insecure."""

    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()
    flags_used: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cmd(ShellCommand):
    """``CMD``."""


@dataclass(frozen=True)
class Entrypoint(ShellCommand):
    """``ENTRYPOINT``."""


@dataclass(frozen=True)
class Env(Instruction):
    """``ENV``. The order matters; a value sees the names of earlier instructions only."""

    pairs: tuple[KeyValue, ...] = ()


@dataclass(frozen=True)
class Label(Instruction):
    """``LABEL``."""

    pairs: tuple[KeyValue, ...] = ()


@dataclass(frozen=True)
class Arg(Instruction):
    """``ARG``, one or more names."""

    args: tuple[ArgDefault, ...] = ()


@dataclass(frozen=True)
class Transfer(Instruction):
    """What COPY and ADD have. ``sources`` are paths (or URLs), ``contents`` heredocs; one of the two may be empty."""

    sources: tuple[str, ...] = ()
    contents: tuple[InlineFile, ...] = ()
    destination: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copy(Transfer):
    """``COPY``. ``from_``: a stage's name or index, an image, a named context; "" is the build context."""

    from_: str = ""
    parents: bool = False


@dataclass(frozen=True)
class Add(Transfer):
    """``ADD``. ``keep_git_dir`` and ``unpack`` are None where not given."""

    keep_git_dir: bool | None = None
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True)
class Workdir(Instruction):
    """``WORKDIR``."""

    path: str = ""


@dataclass(frozen=True)
class User(Instruction):
    """``USER``."""

    user: str = ""


@dataclass(frozen=True)
class Expose(Instruction):
    """``EXPOSE``: ports as written, ``80``, ``80/tcp``, ``8000-8010/udp``, sorted as BuildKit sorts them."""

    ports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Volume(Instruction):
    """``VOLUME``."""

    volumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shell(Instruction):
    """``SHELL``."""

    shell: tuple[str, ...] = ()


@dataclass(frozen=True)
class StopSignal(Instruction):
    """``STOPSIGNAL``."""

    signal: str = ""


@dataclass(frozen=True)
class HealthCheck(Instruction):
    """``HEALTHCHECK``. ``test`` begins with NONE, CMD or CMD-SHELL; durations are nanoseconds, 0 for the default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True)
class OnBuild(Instruction):
    """``ONBUILD``. ``expression`` is the trigger's text, bodies of heredocs included: what the image config keeps."""

    expression: str = ""


@dataclass(frozen=True)
class Maintainer(Instruction):
    """``MAINTAINER``."""

    maintainer: str = ""


@dataclass(frozen=True)
class Stage:
    """A FROM and what follows it."""

    index: int
    origin: From
    commands: tuple[Instruction, ...] = ()

    @property
    def name(self) -> str:
        """The name after AS in lower case, or ""."""
        return self.origin.stage_name

    @property
    def base(self) -> str:
        """The image or stage it begins with, not expanded."""
        return self.origin.base

    @property
    def platform(self) -> str:
        """The value of ``--platform``, not expanded, or ""."""
        return self.origin.platform

    @property
    def doc(self) -> str:
        """The comment that describes it."""
        return self.origin.doc

    @property
    def line(self) -> int:
        """The line of its FROM, from 1."""
        return self.origin.line


def find_stage(stages: tuple[Stage, ...] | list[Stage], name: str) -> Stage | None:
    """The last stage of that name (in any case), as BuildKit finds it for FROM, --from and --target; no index."""
    wanted = name.lower()
    return next((stage for stage in reversed(stages) if stage.name == wanted and wanted), None)


def copy_source(copy: Copy) -> str:
    """What a COPY's ``--from`` names, "" for the context. InstructionError if it has a variable."""
    if "$" in copy.from_[:-1]:
        message = "variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
        raise InstructionError(f"{message}scope as a workaround", copy.range, prefixed=False)
    return copy.from_
