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
