"""SOURCE_DATE_EPOCH: a number, ``context``, a named context, or a stage that adds one remote source."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dockmagic.builder.named import NamedContexts
from dockmagic.builder.transfer import is_http
from dockmagic.dockerfile.commands import Add, Arg, Stage
from dockmagic.dockerfile.expand import GlobalScope, StageScope
from dockmagic.dockerfile.gitref import parse_git_reference
from dockmagic.errors import InvalidParameter

NAME = "SOURCE_DATE_EPOCH"


def resolve(
    scope: GlobalScope, stages: Sequence[Stage], contexts: NamedContexts, context_epoch: int | None
) -> int | None:
    """The time in seconds, or None; the scope's build argument becomes that number, or is taken away."""
    value = scope.build_args.get(NAME, scope.values.get(NAME, ""))
    if not value:
        return None
    found = _resolve(value, scope, stages, contexts, context_epoch)
    for values in (scope.build_args, scope.values):
        if NAME in values:
            if found is None:
                del values[NAME]
            else:
                values[NAME] = str(found)
    return found


def _resolve(
    value: str, scope: GlobalScope, stages: Sequence[Stage], contexts: NamedContexts, context_epoch: int | None
) -> int | None:
    if re.fullmatch(r"[+-]?[0-9]+", value):
        return int(value)
    if value == "context":
        return context_epoch
    if contexts.knows(value):
        return contexts.epoch(value)
    for stage in stages:
        if stage.name == value.lower():
            return _of_stage(stage, scope, contexts)
    raise InvalidParameter(f"invalid {NAME}: {value}")


def _of_stage(stage: Stage, scope: GlobalScope, contexts: NamedContexts) -> int | None:
    if scope.expand(stage.base).result != "scratch":
        raise InvalidParameter(f"{NAME} stage must use FROM scratch")
    variables = StageScope(scope)
    source = ""
    for command in stage.commands:
        if isinstance(command, Arg):
            variables.declare(command)
        elif isinstance(command, Add):
            if source:
                raise InvalidParameter(f"{NAME} stage must contain exactly one remote ADD")
            if command.contents or len(command.sources) != 1:
                raise InvalidParameter(f"{NAME} stage must contain exactly one remote ADD source")
            source = variables.word(command, command.sources[0])
            if not is_http(source) and parse_git_reference(source) is None:
                raise InvalidParameter(f"{NAME} stage source must be a single HTTP(S) or Git ADD")
        else:
            keyword = command.keyword.upper()
            raise InvalidParameter(
                f"{NAME} stage does not meet source-only requirements: unsupported {keyword} instruction"
            )
    if not source:
        raise InvalidParameter(f"{NAME} stage must contain exactly one remote ADD")
    return contexts.remote_epoch(source)
