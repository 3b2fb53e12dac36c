"""The scopes of ARG and ENV."""

from __future__ import annotations

import pytest

from dockmagic.dockerfile import (
    Arg,
    ArgValue,
    Copy,
    Env,
    ExpansionError,
    Expose,
    GlobalScope,
    Instruction,
    InstructionError,
    Run,
    StageScope,
    instructions,
    parse,
    platform_args,
    proxy_variables,
)


def run(text: str, build_args: dict[str, str] | None = None, image_env: tuple[str, ...] = ()) -> StageScope:
    """The scope at the end of a file's last stage; FROM of an earlier stage inherits."""
    stages, meta_args = instructions(parse(text))
    scope = GlobalScope(meta_args, build_args, {"TARGETARCH": "arm64"})
    named: dict[str, StageScope] = {}
    for stage in stages:
        base = scope.expand(stage.base).result
        current = named[base].child() if base in named else StageScope(scope, image_env)
        for command in stage.commands:
            if isinstance(command, Arg):
                current.declare(command)
            elif isinstance(command, Env):
                current.define(current.expand(command).pairs)
        named[stage.name] = current
    return current


def test_a_global_argument_has_to_be_declared_again() -> None:
    assert "V" not in run("ARG V=1\nFROM a\nENV W=$V").env
    assert run("ARG V=1\nFROM a\nARG V\nENV W=$V").config_env == {"W": "1"}


def test_the_build_argument_wins_over_the_default() -> None:
    assert run("ARG V=1\nFROM a\nARG V=2\nENV W=$V", {"V": "3"}).env["W"] == "3"
    assert run("ARG V=1\nFROM a\nARG V=2\nENV W=$V").env["W"] == "2"


def test_the_later_of_argument_and_variable_wins() -> None:
    assert run("FROM a\nARG V=arg\nENV V=env").env["V"] == "env"
    assert run("FROM a\nENV V=env\nARG V=arg").env["V"] == "arg"


def test_an_instruction_sees_the_values_before_it() -> None:
    assert run("FROM a\nENV A=1\nENV A=2 B=$A\nENV C=$A").config_env == {"A": "2", "B": "1", "C": "2"}


def test_a_stage_inherits_what_the_stage_before_it_has() -> None:
    scope = run("FROM x AS a\nARG V=1\nENV E=2\nFROM a\nENV W=$V$E")
    assert scope.config_env == {"E": "2", "W": "12"}
    assert scope.args == [ArgValue("V", "1")]
    assert run("FROM x AS a\nARG V=1\nFROM x\nENV W=[$V]").env["W"] == "[]"


def test_the_images_variables_are_there() -> None:
    scope = run("FROM a\nENV P=$PATH:/x", image_env=("PATH=/bin", "ODD"))
    assert scope.config_env == {"PATH": "/bin", "ODD": "", "P": "/bin:/x"}


def test_history_names_each_argument_once_with_the_value_in_force() -> None:
    scope = run("FROM a\nARG A=1\nARG B\nARG A=2\nARG TARGETARCH\nENV A=3")
    assert scope.run_args() == {"A": "3", "B": "", "TARGETARCH": "arm64"}


def test_a_default_that_is_not_used_is_not_looked_at() -> None:
    text = "FROM a\nARG V=${NONE:?missing}"
    assert run(text, {"V": "x"}).env["V"] == "x"
    with pytest.raises(ExpansionError) as caught:
        run(text)
    assert caught.value.line == 2


def test_predefined_arguments() -> None:
    values = platform_args("linux/amd64", "linux/arm/v7", "app", {"BUILDOS": "plan9"})
    assert values["TARGETPLATFORM"] == "linux/arm/v7"
    assert (values["TARGETOS"], values["TARGETARCH"], values["TARGETVARIANT"]) == ("linux", "arm", "v7")
    assert (values["BUILDOS"], values["BUILDVARIANT"], values["TARGETSTAGE"]) == ("plan9", "", "app")
    assert platform_args("a/b", "windows(10.0)/amd64")["TARGETOSVERSION"] == "10.0"
    assert proxy_variables({"HTTP_PROXY": "p", "X": "y"}) == {"HTTP_PROXY": "p", "http_proxy": "p"}


def _first(text: str) -> Instruction:
    stages, _ = instructions(parse(f"FROM a\n{text}"))
    return stages[0].commands[0]


def test_which_parts_of_an_instruction_have_variables() -> None:
    scope = StageScope(GlobalScope(), ["V=v", "P=80 90"])
    copy = scope.expand(_first("COPY --chown=$V --chmod=$V --exclude=$V --from=x $V <<A <<'B' /$V\n\"$V\"\nA\n$V\nB\n"))
    assert isinstance(copy, Copy)
    assert (copy.chown, copy.chmod, copy.exclude, copy.sources, copy.destination) == ("v", "v", ("v",), ("v",), "/v")
    assert [file.data for file in copy.contents] == ['"v"\n', "$V\n"]
    expose = scope.expand(_first("EXPOSE $P"))
    assert isinstance(expose, Expose)
    assert expose.ports == ("80", "90")
    command = scope.expand(_first("RUN --mount=type=cache,target=/$V echo $V"))
    assert isinstance(command, Run)
    assert (command.mounts[0].target, command.args) == ("/v", ("echo $V",))
    unchanged = _first("CMD $V")
    assert scope.expand(unchanged) is unchanged


def test_a_mount_that_turns_out_wrong_has_its_place_but_no_parse_error() -> None:
    scope = StageScope(GlobalScope(), ["T=tmp"])
    with pytest.raises(InstructionError) as caught:
        scope.expand(_first("RUN --mount=type=$T,target=/x y"))
    assert str(caught.value) == 'unsupported mount type "tmp" (did you mean tmpfs?)'
    assert caught.value.line == 2


def test_names_without_a_value_are_told() -> None:
    told: list[tuple[str, ...]] = []
    scope = StageScope(GlobalScope(), ["A=1"])
    scope.on_unmatched = lambda instruction, names: told.append(names)
    arg = _first("ARG DECLARED")
    assert isinstance(arg, Arg)
    scope.declare(arg)
    scope.expand(_first("COPY $A$DECLARED$NONE /x"))
    assert told == [("NONE",)]
