"""The Dockerfile language: text in, objects out, no I/O.

Lines and heredocs become a tree (parser.py), the tree typed instructions (instructions.py, whose values are in
commands.py), words are expanded (shell.py) in the scopes of ARG and ENV (expand.py); checks (lint/), ``.dockerignore``
rules (ignore.py) and git references (gitref.py) are here too. Nothing is built here. Begin with::

    tree = parse(text)                      # Dockerfile; ParseError
    stages, meta_args = instructions(tree)  # InstructionError
    scope = GlobalScope(meta_args, build_args, platform_args("linux/amd64", "linux/amd64", target), tree.escape)
    base = scope.expand(stages[0].base).result
    stage = StageScope(scope, image_env=["PATH=/bin"])
    for command in stages[0].commands:
        command = stage.expand(command)     # ARG: stage.declare(command); ENV: stage.define(command.pairs)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.dockerfile.arguments import KEYWORDS
from dockmagic.dockerfile.commands import (
    Add,
    Arg,
    ArgDefault,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    HealthCheck,
    InlineFile,
    Instruction,
    KeyValue,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    ShellCommand,
    Stage,
    StopSignal,
    Transfer,
    User,
    Volume,
    Workdir,
    copy_source,
    find_stage,
)
from dockmagic.dockerfile.errors import (
    DockerfileError,
    ExpansionError,
    GitReferenceError,
    InstructionError,
    ParseError,
    PatternError,
)
from dockmagic.dockerfile.expand import (
    ArgValue,
    GlobalScope,
    StageScope,
    expand_instruction,
    platform_args,
    proxy_variables,
)
from dockmagic.dockerfile.flags import FLAGS
from dockmagic.dockerfile.gitref import GitReference, parse_git_reference
from dockmagic.dockerfile.heredoc import chomp, find_heredoc
from dockmagic.dockerfile.ignore import Ignore, read_ignore_file
from dockmagic.dockerfile.instructions import instruction, instructions, recover_instructions, trigger
from dockmagic.dockerfile.mounts import Mount
from dockmagic.dockerfile.parser import parse
from dockmagic.dockerfile.ports import parse_ports
from dockmagic.dockerfile.printer import render
from dockmagic.dockerfile.shell import Expansion, Lexer, expand_word
from dockmagic.dockerfile.source import Position, Range
from dockmagic.dockerfile.suggest import nearest, with_suggestion
from dockmagic.dockerfile.tokens import Token, tokens
from dockmagic.dockerfile.tree import Directive, Dockerfile, Heredoc, Node, ParserWarning

if TYPE_CHECKING:
    from dockmagic.dockerfile.lint import BaseImage, CheckWarning, Report, check

__all__ = [
    "FLAGS",
    "KEYWORDS",
    "Add",
    "Arg",
    "ArgDefault",
    "ArgValue",
    "BaseImage",
    "CheckWarning",
    "Cmd",
    "Copy",
    "Directive",
    "Dockerfile",
    "DockerfileError",
    "Entrypoint",
    "Env",
    "Expansion",
    "ExpansionError",
    "Expose",
    "From",
    "GitReference",
    "GitReferenceError",
    "GlobalScope",
    "HealthCheck",
    "Heredoc",
    "Ignore",
    "InlineFile",
    "Instruction",
    "InstructionError",
    "KeyValue",
    "Label",
    "Lexer",
    "Maintainer",
    "Mount",
    "Node",
    "OnBuild",
    "ParseError",
    "ParserWarning",
    "PatternError",
    "Position",
    "Range",
    "Report",
    "Run",
    "Shell",
    "ShellCommand",
    "Stage",
    "StageScope",
    "StopSignal",
    "Token",
    "Transfer",
    "User",
    "Volume",
    "Workdir",
    "check",
    "chomp",
    "copy_source",
    "expand_instruction",
    "expand_word",
    "find_heredoc",
    "find_stage",
    "instruction",
    "instructions",
    "nearest",
    "parse",
    "parse_git_reference",
    "parse_ports",
    "platform_args",
    "proxy_variables",
    "read_ignore_file",
    "recover_instructions",
    "render",
    "tokens",
    "trigger",
    "with_suggestion",
]


def __getattr__(name: str) -> object:
    """The checks are a quarter of what importing this package costs; a build needs none: they come when asked for."""
    if name in {"BaseImage", "CheckWarning", "Report", "check"}:
        from dockmagic.dockerfile import lint

        return getattr(lint, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
