"""Tree to typed instructions: flags and arguments of each, its rules, and the stages that they form."""

from __future__ import annotations

import re
from collections.abc import Callable

from dockmagic.dockerfile import commands as c
from dockmagic.dockerfile.arguments import KEYWORDS
from dockmagic.dockerfile.errors import DockerfileError, InstructionError
from dockmagic.dockerfile.flags import Values, read_flags
from dockmagic.dockerfile.golang import parse_duration, quote
from dockmagic.dockerfile.heredoc import chomp, find_heredoc
from dockmagic.dockerfile.mounts import NETWORKS, SECURITY, check_device, read_mount
from dockmagic.dockerfile.parser import parse
from dockmagic.dockerfile.source import Range
from dockmagic.dockerfile.suggest import with_suggestion
from dockmagic.dockerfile.tree import Dockerfile, Node

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_ONBUILD = re.compile(r"^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*", re.IGNORECASE)
_SHORTEST_INTERVAL = 1_000_000
"""Nanoseconds; an interval of a HEALTHCHECK may be 0 (the default), but not shorter than this."""


def instructions(tree: Dockerfile) -> tuple[list[c.Stage], list[c.Arg]]:
    """The stages of a file, and the ARGs before the first of them. InstructionError says what is wrong, and where."""
    stages, meta_args, errors = _collect(tree, stop_at_error=True)
    if errors:
        raise errors[0]
    return stages, meta_args


def recover_instructions(tree: Dockerfile) -> tuple[list[c.Stage], list[c.Arg], list[DockerfileError]]:
    """As ``instructions``, but what is wrong is left out and told: for checks and completion of unfinished files."""
    return _collect(tree, stop_at_error=False)


def _collect(tree: Dockerfile, *, stop_at_error: bool) -> tuple[list[c.Stage], list[c.Arg], list[DockerfileError]]:
    origins: list[tuple[c.From, list[c.Instruction]]] = []
    meta_args: list[c.Arg] = []
    errors: list[DockerfileError] = []
    for node in tree.nodes:
        if node.error is not None and not node.heredocs:
            continue
        try:
            command = instruction(node)
            if isinstance(command, c.From):
                origins.append((command, []))
            elif origins:
                origins[-1][1].append(command)
            elif isinstance(command, c.Arg):
                meta_args.append(command)
            else:
                raise InstructionError("no build stage in current context", node.range, prefixed=False)
        except DockerfileError as error:
            errors.append(error)
            if stop_at_error:
                break
    stages = [c.Stage(index, origin, tuple(body)) for index, (origin, body) in enumerate(origins)]
    return stages, meta_args, errors


def instruction(node: Node) -> c.Instruction:
    """The typed instruction of one node. InstructionError has the node's place."""
    reader = _READERS.get(node.keyword.lower())
    try:
        if reader is None:
            message = f"unknown instruction: {node.keyword}"
            names = [name.upper() for name in KEYWORDS]
            raise InstructionError(with_suggestion(message, node.keyword, names, case_sensitive=False))
        return reader(node)
    except DockerfileError as error:
        raise error.at(node.range) from None


def trigger(expression: str, stage: c.From | None = None) -> c.Instruction:
    """The instruction of an ONBUILD's text, as an image's config keeps it.

    With ``stage``, the FROM that sets it off, errors later on point to that.
    """
    tree = parse(expression)
    if len(tree.nodes) != 1:
        raise InstructionError("onbuild trigger should be a single expression", prefixed=False)
    node = tree.nodes[0]
    if stage is not None:
        node.start_line, node.end_line = stage.range.start.line, stage.range.end.line
        node.pieces, node.end_column = [], stage.range.end.column
    return instruction(node)


def _at_least_one(node: Node, keyword: str) -> list[str]:
    args = node.flat_args()
    if not args:
        raise InstructionError(f"{keyword} requires at least one argument")
    return args


def _exactly_one(node: Node, keyword: str) -> str:
    args = node.flat_args()
    if len(args) != 1:
        raise InstructionError(f"{keyword} requires exactly one argument")
    return args[0]


def _flags(node: Node) -> Values:
    return read_flags(node.keyword, node.flags)


def _text(flags: Values, name: str, default: str = "") -> str:
    return flags[name][0] if name in flags else default


def _boolean(flags: Values, name: str) -> bool | None:
    return flags[name][0] == "true" if name in flags else None


def _base(node: Node) -> tuple[str, str, Range, Node]:
    return node.keyword, node.original.strip(), node.range, node


def _doc(node: Node, name: str) -> str:
    """The text after the name in the comment that begins with the name."""
    if name:
        for comment in node.comments:
            if comment.startswith(f"{name} "):
                return comment[len(name) + 1 :]
    return ""


def _from(node: Node) -> c.From:
    args, name = node.args, ""
    if len(args) == 3 and args[1].lower().replace("ſ", "s") == "as":
        name = args[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise InstructionError(
                f"invalid name for build stage: {quote(args[2])}, name can't start with a number or contain symbols"
            )
    elif len(args) != 1:
        raise InstructionError("FROM requires either one or three arguments")
    return c.From(*_base(node), args[0], name, _text(_flags(node), "platform"), _doc(node, name))


def _pairs(node: Node, keyword: str) -> tuple[c.KeyValue, ...]:
    _flags(node)
    args = _at_least_one(node, keyword)
    if len(args) % 3:
        raise InstructionError(f"Bad input to {keyword}, too many arguments")
    if not all(args[::3]):
        raise InstructionError(f"{keyword} names can not be blank")
    return tuple(map(c.KeyValue, args[::3], args[1::3], (not separator for separator in args[2::3])))


def _env(node: Node) -> c.Env:
    return c.Env(*_base(node), _pairs(node, "ENV"))


def _label(node: Node) -> c.Label:
    return c.Label(*_base(node), _pairs(node, "LABEL"))


def _arg(node: Node) -> c.Arg:
    defaults = []
    for arg in _at_least_one(node, "ARG"):
        key, has_value, value = arg.partition("=")
        if has_value and not key:
            raise InstructionError("ARG names can not be blank")
        defaults.append(c.ArgDefault(key, value if has_value else None, _doc(node, key)))
    return c.Arg(*_base(node), tuple(defaults))


def _sources(node: Node, keyword: str) -> tuple[tuple[str, ...], tuple[c.InlineFile, ...], str]:
    *sources, destination = node.args
    if find_heredoc(destination):
        raise InstructionError(f"{keyword} cannot accept a heredoc as a destination")
    bodies = {heredoc.name: heredoc.content for heredoc in node.heredocs}
    paths: list[str] = []
    contents: list[c.InlineFile] = []
    for source in sources:
        heredoc = find_heredoc(source)
        if heredoc is None:
            paths.append(source)
            continue
        body = bodies.get(heredoc.name, "")
        data = chomp(body) if heredoc.chomp else body
        contents.append(c.InlineFile(heredoc.name, data, heredoc.chomp, heredoc.expand))
    return tuple(paths), tuple(contents), destination


def _transfer_flags(node: Node, keyword: str) -> Values:
    if len(node.args) < 2:
        raise InstructionError(
            f"{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        )
    return _flags(node)


def _copy(node: Node) -> c.Copy:
    flags = _transfer_flags(node, "COPY")
    return c.Copy(
        *_base(node),
        *_sources(node, "COPY"),
        chown=_text(flags, "chown"),
        chmod=_text(flags, "chmod"),
        link=_boolean(flags, "link") or False,
        exclude=tuple(flags.get("exclude", ())),
        from_=_text(flags, "from"),
        parents=_boolean(flags, "parents") or False,
    )


def _add(node: Node) -> c.Add:
    flags = _transfer_flags(node, "ADD")
    return c.Add(
        *_base(node),
        *_sources(node, "ADD"),
        chown=_text(flags, "chown"),
        chmod=_text(flags, "chmod"),
        link=_boolean(flags, "link") or False,
        exclude=tuple(flags.get("exclude", ())),
        keep_git_dir=_boolean(flags, "keep-git-dir"),
        checksum=_text(flags, "checksum"),
        unpack=_boolean(flags, "unpack"),
    )


def _command_line(node: Node) -> tuple[tuple[str, ...], bool, tuple[c.InlineFile, ...]]:
    args = tuple(node.args) if node.json or not node.args else (" ".join(node.args),)
    files = tuple(c.InlineFile(doc.name, doc.content, doc.chomp, doc.expand) for doc in node.heredocs)
    return args, not node.json, files


def _run(node: Node) -> c.Run:
    flags = _flags(node)
    for device in flags.get("device", ()):
        check_device(device)
    mounts = tuple(map(read_mount, flags.get("mount", ())))
    network = _text(flags, "network", "default")
    if network not in NETWORKS:
        raise InstructionError(f"invalid network mode {quote(network)}")
    security = _text(flags, "security", "sandbox")
    if security not in SECURITY:
        raise InstructionError(f"security {quote(security)} is not valid")
    devices = tuple(flags.get("device", ()))
    return c.Run(*_base(node), *_command_line(node), mounts, network, security, devices, tuple(sorted(flags)))


def _cmd(node: Node) -> c.Cmd:
    _flags(node)
    return c.Cmd(*_base(node), *_command_line(node))


def _entrypoint(node: Node) -> c.Entrypoint:
    _flags(node)
    return c.Entrypoint(*_base(node), *_command_line(node))


def _shell(node: Node) -> c.Shell:
    _flags(node)
    args = _at_least_one(node, "SHELL")
    if not node.json:
        raise InstructionError("SHELL requires the arguments to be in JSON form")
    return c.Shell(*_base(node), tuple(args))


def _onbuild(node: Node) -> c.OnBuild:
    args = _at_least_one(node, "ONBUILD")
    _flags(node)
    keyword = args[0].strip().upper()
    if keyword == "ONBUILD":
        raise InstructionError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if keyword in {"MAINTAINER", "FROM"}:
        raise InstructionError(f"{keyword} isn't allowed as an ONBUILD trigger")
    expression = _ONBUILD.sub("", node.original)
    bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in node.heredocs)
    return c.OnBuild(*_base(node), expression + bodies)


def _workdir(node: Node) -> c.Workdir:
    path = _exactly_one(node, "WORKDIR")
    _flags(node)
    return c.Workdir(*_base(node), path)


def _user(node: Node) -> c.User:
    user = _exactly_one(node, "USER")
    _flags(node)
    return c.User(*_base(node), user)


def _maintainer(node: Node) -> c.Maintainer:
    maintainer = _exactly_one(node, "MAINTAINER")
    _flags(node)
    return c.Maintainer(*_base(node), maintainer)


def _stopsignal(node: Node) -> c.StopSignal:
    return c.StopSignal(*_base(node), _exactly_one(node, "STOPSIGNAL"))


def _expose(node: Node) -> c.Expose:
    ports = _at_least_one(node, "EXPOSE")
    _flags(node)
    return c.Expose(*_base(node), tuple(sorted(ports)))


def _volume(node: Node) -> c.Volume:
    args = _at_least_one(node, "VOLUME")
    _flags(node)
    volumes = tuple(volume.strip() for volume in args)
    if not all(volumes):
        raise InstructionError("VOLUME specified can not be an empty string")
    return c.Volume(*_base(node), volumes)


def _healthcheck(node: Node) -> c.HealthCheck:
    kind, *args = _at_least_one(node, "HEALTHCHECK")
    kind = kind.upper()
    if kind == "NONE":
        if args:
            raise InstructionError("HEALTHCHECK NONE takes no arguments")
        return c.HealthCheck(*_base(node), (kind,))
    flags = _flags(node)
    if kind != "CMD":
        raise InstructionError(f"Unknown type {quote(kind)} in HEALTHCHECK (try CMD)")
    if not args:
        raise InstructionError("Missing command after HEALTHCHECK CMD")
    test = (kind, *args) if node.json else ("CMD-SHELL", " ".join(args))
    names = ("interval", "timeout", "start-period", "start-interval")
    interval, timeout, start_period, start_interval = (_interval(name, _text(flags, name)) for name in names)
    retries = _retries(_text(flags, "retries"))
    return c.HealthCheck(*_base(node), test, interval, timeout, start_period, start_interval, retries)


def _interval(name: str, text: str) -> int:
    if not text:
        return 0
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise InstructionError(str(error)) from None
    if duration and duration < _SHORTEST_INTERVAL:
        raise InstructionError(f"Interval {quote(name)} cannot be less than 1ms")
    return duration


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]{1,4000}", text):
        raise InstructionError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    retries = int(text)
    if not -(1 << 31) <= retries < 1 << 31:
        raise InstructionError(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    if retries < 0:
        raise InstructionError(f"--retries cannot be negative ({retries})")
    return retries


_READERS: dict[str, Callable[[Node], c.Instruction]] = {
    "add": _add,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
