"""Checks of a file as a whole: names and casing, what FROM says, comments that describe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dockmagic.dockerfile.commands import Arg, From, Instruction, Stage
from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.expand import GlobalScope
from dockmagic.dockerfile.golang import quote
from dockmagic.dockerfile.lint import rules
from dockmagic.dockerfile.lint.references import is_reference
from dockmagic.dockerfile.lint.report import Linter
from dockmagic.dockerfile.shell import Expansion
from dockmagic.dockerfile.suggest import nearest
from dockmagic.dockerfile.tree import Dockerfile, Node
from dockmagic.errors import InvalidParameter
from dockmagic.platforms import Platform

RESERVED = frozenset({"context", "scratch"})


def check_continuations(tree: Dockerfile, linter: Linter) -> None:
    """NoEmptyContinuation, at the last line of the instruction."""
    for warning in tree.warnings:
        node = tree.node_at(warning.line)
        if node is not None:
            place = node.range._replace(start=node.range.end._replace(column=0))
            linter.warn(rules.NO_EMPTY_CONTINUATION, place, comments=node.comments)


def check_node(node: Node, linter: Linter) -> None:
    """What shows in an instruction before it is typed: MaintainerDeprecated and the casing of FROM."""
    keyword = node.keyword.lower()
    if keyword == "maintainer":
        linter.warn(rules.MAINTAINER_DEPRECATED, node.range, comments=node.comments)
    elif keyword == "from" and len(node.args) >= 3:
        name, word = node.args[2], node.args[1]
        if len(node.args) == 3 and name != name.lower():
            linter.warn(rules.STAGE_NAME_CASING, node.range, name, comments=node.comments)
        written = node.keyword
        cased = written in {written.lower(), written.upper()}
        if cased and word != (word.lower() if written == written.lower() else word.upper()):
            linter.warn(rules.FROM_AS_CASING, node.range, word, written, comments=node.comments)


def check_description(command: Instruction, linter: Linter) -> None:
    """InvalidDefinitionDescription of a typed FROM or ARG."""
    if isinstance(command, From):
        keyword, keys = "FROM", [command.stage_name] if command.stage_name else []
    elif isinstance(command, Arg):
        keyword, keys = "ARG", [arg.key for arg in command.args]
    else:
        return
    comments = command.node.comments
    if not comments or not keys or comments[-1].split(" ")[0] in keys:
        return
    example = keys[0] if len(keys) == 1 else "<arg_key>"
    linter.warn(rules.INVALID_DEFINITION_DESCRIPTION, command.range, keyword, example, comments=comments)


def check_stage_names(stages: Sequence[Stage], linter: Linter) -> None:
    """ReservedStageName and DuplicateStageName."""
    seen: set[str] = set()
    for stage in stages:
        if not stage.name:
            continue
        origin = stage.origin
        if stage.name in RESERVED:
            linter.warn(rules.RESERVED_STAGE_NAME, origin.range, quote(stage.name), comments=origin.node.comments)
        if stage.name in seen:
            linter.warn(rules.DUPLICATE_STAGE_NAME, origin.range, quote(stage.name), comments=origin.node.comments)
        seen.add(stage.name)


def check_casing(stages: Sequence[Stage], linter: Linter) -> None:
    """ConsistentInstructionCasing: the majority of the keywords decides."""
    commands: list[Instruction] = [command for stage in stages for command in (stage.origin, *stage.commands)]
    lower = sum(command.keyword == command.keyword.lower() for command in commands)
    upper = sum(command.keyword == command.keyword.upper() != command.keyword.lower() for command in commands)
    to_lower = lower > upper
    for command in commands:
        keyword = command.keyword
        if keyword != (keyword.lower() if to_lower else keyword.upper()):
            casing = "lowercase" if to_lower else "uppercase"
            linter.warn(
                rules.CONSISTENT_INSTRUCTION_CASING, command.range, keyword, casing, comments=command.node.comments
            )


def check_default_bases(
    stages: Iterable[Stage], meta_args: Sequence[Arg], scope: GlobalScope, predefined: dict[str, str], linter: Linter
) -> None:
    """InvalidDefaultArgInFrom: the bases have to be valid with no build argument given."""
    try:
        defaults = GlobalScope(meta_args, {}, predefined, scope.lexer.escape)
        bases = [(stage, defaults.expand(stage.base).result) for stage in stages]
    except DockerfileError:
        return  # the build itself fails at the same place
    for stage, base in bases:
        if not is_reference(base):
            comments = stage.origin.node.comments
            linter.warn(rules.INVALID_DEFAULT_ARG_IN_FROM, stage.origin.range, stage.base, comments=comments)


def check_undefined(origin: From, expansion: Expansion, scope: GlobalScope, linter: Linter) -> None:
    """UndefinedArgInFrom."""
    known = scope.declared | scope.values.keys()
    for name in expansion.unmatched:
        if name not in known:
            suggestion = nearest(name, known) or ""
            linter.warn(
                rules.UNDEFINED_ARG_IN_FROM, origin.range, name, comments=origin.node.comments, suggestion=suggestion
            )


def check_platform(origin: From, expansion: Expansion, scope: GlobalScope, linter: Linter) -> None:
    """RedundantTargetPlatform and FromPlatformFlagConstDisallowed."""
    comments = origin.node.comments
    if expansion.matched == ("TARGETPLATFORM",) and not expansion.unmatched:
        if expansion.result == scope.values["TARGETPLATFORM"]:
            linter.warn(rules.REDUNDANT_TARGET_PLATFORM, origin.range, origin.platform, comments=comments)
        return
    if expansion.matched or expansion.unmatched:
        return
    try:
        platform = Platform.parse(expansion.result)
    except InvalidParameter:
        return  # told as the build's error
    name = origin.stage_name
    if platform.os not in name and platform.architecture not in name:
        linter.warn(rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED, origin.range, quote(expansion.result), comments=comments)
