"""The command tree: docker's commands on click, each loaded when it is first asked for.

A command is a function with docker's help text as its docstring::

    @command
    def rename(session, options, operands):
        \"""Usage:  docker rename CONTAINER NEW_NAME ...\"""

It gets the :class:`~dockmagic.commands.session.Session`, its flags and its operands, and returns a view or nothing.
:func:`execute` runs a line of words, for the magics and for the program alike.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dockmagic.commands import flags, usage
from dockmagic.commands.errors import CommandError, FlagError, OperandError
from dockmagic.views.text import Text

if TYPE_CHECKING:
    from dockmagic.commands.flags import Options
    from dockmagic.commands.session import Session
    from dockmagic.views.view import View

Handler = Callable[["Session", "Options", list[str]], "View | None"]

INDEX = {
    "run": "run create container.run container.create",
    "execute": "exec attach start container.exec container.attach container.start",
    "containers": "ps container.ls container.list container.ps logs container.logs port container.port top "
    "container.top stats container.stats diff container.diff",
    "lifecycle": "stop restart kill rm pause unpause wait rename update container.stop container.restart "
    "container.kill container.rm container.remove container.pause container.unpause container.wait container.rename "
    "container.update container.prune",
    "copying": "cp export commit container.cp container.export container.commit",
    "images": "images image.ls image.list history image.history tag image.tag rmi image.rm image.remove image.prune",
    "archives": "save load import image.save image.load image.import",
    "transfer": "pull push image.pull image.push login logout search",
    "building": "build image.build builder.build builder.prune debug",
    "networks": "network.ls network.list network.create network.rm network.remove network.connect network.disconnect "
    "network.prune network.inspect",
    "volumes": "volume.ls volume.list volume.create volume.rm volume.remove volume.prune volume.inspect",
    "inspecting": "inspect container.inspect image.inspect",
    "system": "version info system.info events system.events system.prune flow",
    "diskusage": "system.df",
    "contexts": "context.ls context.list context.use context.show context.create context.rm context.remove "
    "context.inspect",
}
"""Which module has which commands; a dot stands for the space in ``container ls``."""

PLACES = {path: module for module, paths in INDEX.items() for path in paths.split()}

GROUPS = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "context": "Manage contexts",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage Docker",
    "volume": "Manage volumes",
}

COMMON = ("run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info")

SWARM = frozenset(["config", "node", "secret", "service", "stack", "swarm"])

ABSENT = {
    "manifest": "dockmagic has no manifest lists of its own",
    "plugin": "dockmagic's engine has no plugins",
    "trust": "dockmagic has no content trust",
    "buildx": "%docker build and %%dockerfile build with BuildKit where the engine has it",
    "compose": "dockmagic has no compose",
}


class DockerCommand(click.Command):
    """A command made of a handler and its help text."""

    def __init__(self, handler: Handler, refused: dict[str, str] | None = None) -> None:
        self.usage = usage.read(handler.__doc__ or "")
        self.handler = handler
        self.refused = refused or {}
        super().__init__(name=self.usage.path[-1], help=self.usage.text, short_help=self.usage.short)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Docker's rules, not click's; see :mod:`dockmagic.commands.flags`."""
        ctx.meta["help"] = _asks_for_help(self.usage, args)
        if not ctx.meta["help"]:
            options, operands = flags.parse(self.usage, args, self.refused)
            least, most = self.usage.least, self.usage.most
            if "script" in self.usage.flags and options.given("script") and "COMMAND" in self.usage.operands.split():
                least -= 1  # the script stands for it
            if len(operands) < least or (most is not None and len(operands) > most):
                raise OperandError(self.usage)
            ctx.meta["options"], ctx.args = options, operands
        return ctx.args

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.meta["help"]:
            return Text(self.usage.text)
        return self.handler(ctx.obj, ctx.meta["options"], ctx.args)


def command(handler: Handler) -> DockerCommand:
    """Make a command of a function whose docstring is docker's help text."""
    return DockerCommand(handler)


def refusing(**refused: str) -> Callable[[Handler], DockerCommand]:
    """The same, with flags of docker's that dockmagic refuses and the reason for each."""
    return lambda handler: DockerCommand(handler, {name.replace("_", "-"): why for name, why in refused.items()})


class DockerGroup(click.Group):
    """A noun (``docker container``), or docker itself when ``noun`` is empty."""

    def __init__(self, noun: str = "") -> None:
        super().__init__(name=noun or "docker", short_help=GROUPS.get(noun, ""), invoke_without_command=True)
        self.noun = noun

    def list_commands(self, ctx: click.Context) -> list[str]:
        return names(self.noun)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not self.noun and cmd_name in GROUPS:
            return DockerGroup(cmd_name)
        return find(f"{self.noun}.{cmd_name}" if self.noun else cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = list(args)
        if not self.noun:
            words = _global_flags(ctx.obj, words)
        if words and words[0] == "help":
            words = [*words[1:], "--help"]
        ctx.args = words
        return words

    def invoke(self, ctx: click.Context) -> Any:
        words = ctx.args
        if not words or words[0] == "--help":
            return Text(group_help(self.noun))
        if words[0] in {"-v", "--version"} and not self.noun:
            return ctx.invoke(_version_line)
        name, *rest = words
        found = self.get_command(ctx, name)
        if found is None:
            raise unknown(self.noun, name)
        with found.make_context(name, rest, parent=ctx) as sub:
            return found.invoke(sub)


def find(path: str) -> DockerCommand | None:
    """The command at ``path`` ("ps", "container.ls")."""
    module = PLACES.get(path)
    if module is None:
        return None
    wanted = tuple(path.split("."))
    for value in vars(importlib.import_module(f"dockmagic.commands.{module}")).values():
        if isinstance(value, DockerCommand) and wanted in value.usage.paths:
            return value
    raise LookupError(f"{path} is not in dockmagic.commands.{module}")


def names(noun: str = "") -> list[str]:
    """The commands of a noun, or of docker itself, without second names."""
    if noun:
        own = {p.split(".")[1] for p in PLACES if p.startswith(f"{noun}.")}
        return sorted(own - {"list", "remove"} - ({"ps"} if noun == "container" else set()))
    return sorted({p for p in PLACES if "." not in p} | set(GROUPS))


def execute(session: Session, words: Sequence[str]) -> View | None:
    """Run docker's command line ``words`` (without the word docker). Raises CommandError."""
    session.begin()
    try:
        result: View | None = DockerGroup().main(list(words), prog_name="docker", standalone_mode=False, obj=session)
    except OSError as error:  # a file of the user's: --env-file, -o, --iidfile
        what = (error.strerror or str(error)).lower()
        raise CommandError(f"docker: {error.filename}: {what}" if error.filename else f"docker: {what}") from None
    return result


def unknown(noun: str, name: str) -> CommandError:
    """Docker's words for a command it has not, and what may have been meant."""
    whole = f"docker {noun} {name}" if noun else f"docker {name}"
    if not noun and name in SWARM:
        return CommandError(f"docker: {whole} needs a swarm, which dockmagic does not have")
    if not noun and name in ABSENT:
        return CommandError(f"docker: {whole} is not there: {ABSENT[name]}")
    lines = [f"docker: unknown command: {whole}", ""]
    near = difflib.get_close_matches(name, names(noun), n=3, cutoff=0.6)
    if near:
        lines += [f"Did you mean: {', '.join(near)}?", ""]
    if noun:
        lines += [f"Usage:  docker {noun}", ""]
    lines.append(f"Run 'docker{' ' + noun if noun else ''} --help' for more information")
    return CommandError("\n".join(lines))


def group_help(noun: str = "") -> str:
    """What ``docker --help`` or ``docker container --help`` prints."""

    def listed(title: str, entries: Sequence[str]) -> list[str]:
        return [title, *(f"  {name:<11} {_short(noun, name)}" for name in entries), ""]

    if noun:
        lines = [f"Usage:  docker {noun} COMMAND", "", GROUPS[noun], "", *listed("Commands:", names(noun))]
        return "\n".join([*lines, f"Run 'docker {noun} COMMAND --help' for more information on a command."])
    rest = [n for n in names() if n not in COMMON and n not in GROUPS]
    lines = ["Usage:  docker [OPTIONS] COMMAND", "", "A self-sufficient runtime for containers", ""]
    lines += listed("Common Commands:", COMMON) + listed("Management Commands:", sorted(GROUPS))
    lines += listed("Commands:", rest)
    lines += ["Global Options:", "  -c, --context string   Name of the context to use to connect to the daemon"]
    lines += ["  -H, --host list        Daemon socket to connect to"]
    lines += ["  -v, --version          Print version information and quit", ""]
    return "\n".join([*lines, "Run 'docker COMMAND --help' for more information on a command."])


def _short(noun: str, name: str) -> str:
    if not noun and name in GROUPS:
        return GROUPS[name]
    found = find(f"{noun}.{name}" if noun else name)
    return found.usage.short if found else ""


def _asks_for_help(declared: usage.Usage, words: Sequence[str]) -> bool:
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in {"--help", "-h"} and word[1:] not in declared.shorts:
            return True
        elif word == "--" or (not word.startswith("-") and declared.stops_at_operand):
            return False
        elif word.startswith("--") and "=" not in word:
            flag = declared.flags.get(word[2:])
            skip = bool(flag and flag.type)
        elif word.startswith("-") and len(word) > 1:
            flag = declared.shorts.get(word[-1])
            skip = bool(flag and flag.type and not any(
                declared.shorts[c].type for c in word[1:-1] if c in declared.shorts))  # fmt: skip
    return False


_ROOT = usage.read(
    """
    Usage:  docker root [OPTIONS] COMMAND [ARG...]

    A self-sufficient runtime for containers

    Options:
      -c, --context string   Name of the context to use to connect to the daemon
      -D, --debug            Enable debug mode
      -H, --host list        Daemon socket to connect to
    """
)


def _global_flags(session: Session, words: list[str]) -> list[str]:
    """Take docker's own flags from before the command."""
    if not words or not words[0].startswith("-") or words[0] in {"-v", "--version", "--help"}:
        return words
    try:
        options, rest = flags.parse(_ROOT, words)
    except FlagError as error:
        reason = str(error).split("\n", 1)[0]
        tail = "Usage:  docker [OPTIONS] COMMAND [ARG...]\n\nRun 'docker --help' for more information"
        raise CommandError(f"{reason}\n\n{tail}", 125) from None
    if options.given("host"):
        session.use_host(options.all("host")[-1])
    elif options.given("context"):
        session.use_context(options.text("context"))
    return rest


@click.command(hidden=True)
def _version_line() -> View:
    from dockmagic import __version__

    return Text(f"Docker in the notebook: dockmagic version {__version__}")
