"""Typed instructions: their values, their rules and the words of their errors."""

from __future__ import annotations

import dataclasses

import pytest

from dockmagic.dockerfile import (
    Add,
    Arg,
    ArgDefault,
    Copy,
    From,
    HealthCheck,
    InlineFile,
    Instruction,
    InstructionError,
    KeyValue,
    OnBuild,
    Run,
    copy_source,
    find_stage,
    instruction,
    instructions,
    parse,
    recover_instructions,
    trigger,
)


def one(text: str) -> Instruction:
    """The only instruction of a text."""
    (node,) = parse(text).nodes
    return instruction(node)


def refused(text: str) -> str:
    """Why an instruction is refused, without the line."""
    with pytest.raises(InstructionError) as caught:
        one(text)
    assert caught.value.line == 1
    return caught.value.message


def test_stages_and_the_arguments_before_them() -> None:
    stages, meta_args = instructions(
        parse("# tag the tag\nARG tag=1 other\nFROM a:$tag AS Base\nRUN x\nFROM base\nCMD y\n")
    )
    assert [(arg.key, arg.value, arg.doc) for arg in meta_args[0].args] == [
        ("tag", "1", "the tag"),
        ("other", None, ""),
    ]
    assert [(stage.index, stage.name, stage.base, stage.line, len(stage.commands)) for stage in stages] == [
        (0, "base", "a:$tag", 3, 1),
        (1, "", "base", 5, 1),
    ]
    assert find_stage(stages, "BASE") is stages[0]
    assert find_stage(stages, "") is None


def test_instructions_do_not_change() -> None:
    command = one("USER me")
    with pytest.raises(dataclasses.FrozenInstanceError):
        command.user = "you"  # type: ignore[attr-defined]


def test_an_instruction_knows_its_source() -> None:
    command = one("run  a \\\n b")
    assert (command.keyword, command.code, command.line) == ("run", "run  a  b", 1)
    assert command.node.original == command.code


class TestFiles:
    """COPY and ADD."""

    def test_sources_heredocs_and_flags(self) -> None:
        command = one(
            "COPY --from=b --chown=1 --chmod=0644 --link --parents --exclude=*.md --exclude=x a <<-'E' /d/\n\thi\n\tE\n"
        )
        assert isinstance(command, Copy)
        assert (command.sources, command.destination) == (("a",), "/d/")
        assert command.contents == (InlineFile("E", "hi\n", chomp=True, expand=False),)
        assert (command.from_, command.chown, command.chmod) == ("b", "1", "0644")
        assert (command.link, command.parents, command.exclude) == (True, True, ("*.md", "x"))

    def test_what_add_leaves_open(self) -> None:
        command = one("ADD a b")
        assert isinstance(command, Add)
        assert (command.keep_git_dir, command.unpack, command.checksum) == (None, None, "")
        command = one("ADD --keep-git-dir=false --unpack --checksum=sha256:0 a b")
        assert isinstance(command, Add)
        assert (command.keep_git_dir, command.unpack, command.checksum) == (False, True, "sha256:0")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "COPY a",
                "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            ),
            ("COPY /foo <<EOF\nx\nEOF", "COPY cannot accept a heredoc as a destination"),
            ("COPY --fron=a b c", "unknown flag: --fron (did you mean from?)"),
            ("COPY --from=a --from=b c d", "duplicate flag specified: --from"),
            ("COPY --from a b", "missing a value on flag: --from"),
            ("COPY --link= a b", "missing a value on flag: --link"),
            ("COPY --link=Yes a b", "expecting boolean value for flag --link, not: Yes"),
            ("ADD --parents a b", "unknown flag: --parents"),
        ],
    )
    def test_refused(self, text: str, message: str) -> None:
        assert refused(text) == message

    def test_a_copys_source_has_no_variables(self) -> None:
        command = one("COPY --from=$x a b")
        assert isinstance(command, Copy)
        with pytest.raises(InstructionError, match="variable expansion is not supported for --from, define"):
            copy_source(command)


class TestCommands:
    """RUN, CMD, ENTRYPOINT, SHELL."""

    def test_shell_and_json_form(self) -> None:
        shell, exec_form, looks_like_it = one("RUN a  b"), one('RUN ["a", "b"]'), one("RUN [ -f a ] || b")
        assert isinstance(shell, Run)
        assert isinstance(exec_form, Run)
        assert isinstance(looks_like_it, Run)
        assert (shell.args, shell.shell_form) == (("a  b",), True)
        assert (exec_form.args, exec_form.shell_form) == (("a", "b"), False)
        assert (looks_like_it.args, looks_like_it.shell_form) == (("[ -f a ] || b",), True)

    def test_heredocs_keep_their_tabs_for_the_shell(self) -> None:
        command = one("RUN <<-EOF 3<<B cat\n\ta\nEOF\nb\nB\n")
        assert isinstance(command, Run)
        assert [(file.name, file.data, file.chomp) for file in command.files] == [
            ("EOF", "\ta\n", True),
            ("B", "b\n", False),
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("RUN --network=off x", 'invalid network mode "off"'),
            ("RUN --security=none x", 'security "none" is not valid'),
            ("RUN --device=a,[b] x", "invalid field '[b]' must be a key=value pair"),
            ("RUN --device=name=a,name=b x", "device name already set to a"),
            ("SHELL bash", "SHELL requires the arguments to be in JSON form"),
            ("SHELL []", "SHELL requires at least one argument"),
            ("CMD --x y", "unknown flag: --x"),
        ],
    )
    def test_refused(self, text: str, message: str) -> None:
        assert refused(text) == message


class TestHealthCheck:
    """HEALTHCHECK."""

    def test_durations_are_nanoseconds(self) -> None:
        command = one(
            "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0s --start-interval=2ms --retries=3 CMD a b"
        )
        assert isinstance(command, HealthCheck)
        assert command.test == ("CMD-SHELL", "a b")
        assert (command.interval, command.timeout) == (90_000_000_000, 1_500_000_000)
        assert (command.start_period, command.start_interval, command.retries) == (0, 2_000_000, 3)

    def test_none_and_json(self) -> None:
        none, json = one("healthcheck none"), one('HEALTHCHECK CMD ["a"]')
        assert isinstance(none, HealthCheck)
        assert isinstance(json, HealthCheck)
        assert (none.test, json.test) == (("NONE",), ("CMD", "a"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
            ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
            ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
            ("HEALTHCHECK curl", 'Unknown type "CURL" in HEALTHCHECK (try CMD)'),
            ("HEALTHCHECK --interval=1us CMD a", 'Interval "interval" cannot be less than 1ms'),
            ("HEALTHCHECK --interval=1 CMD a", 'time: missing unit in duration "1"'),
            ("HEALTHCHECK --interval=x CMD a", 'time: invalid duration "x"'),
            ("HEALTHCHECK --interval=1d CMD a", 'time: unknown unit "d" in duration "1d"'),
            ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
            ("HEALTHCHECK --retries=a CMD a", 'strconv.ParseInt: parsing "a": invalid syntax'),
        ],
    )
    def test_refused(self, text: str, message: str) -> None:
        assert refused(text) == message


class TestOnBuild:
    """ONBUILD."""

    def test_its_text_holds_the_heredocs(self) -> None:
        command = one("onbuild  COPY <<EOF /x\nhi\nEOF\n")
        assert isinstance(command, OnBuild)
        assert command.expression == "COPY <<EOF /x\nhi\nEOF"
        copied = trigger(command.expression)
        assert isinstance(copied, Copy)
        assert copied.contents[0].data == "hi\n"

    def test_a_trigger_points_to_the_stage_that_sets_it_off(self) -> None:
        stages, _ = instructions(parse("FROM a\nFROM b\n"))
        assert trigger("RUN x", stages[1].origin).line == 2

    def test_a_trigger_is_one_instruction(self) -> None:
        with pytest.raises(InstructionError, match="onbuild trigger should be a single expression"):
            trigger("RUN a\nRUN b")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("ONBUILD", "ONBUILD requires at least one argument"),
            ("ONBUILD ONBUILD RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
            ("ONBUILD maintainer a", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ],
    )
    def test_refused(self, text: str, message: str) -> None:
        assert refused(text) == message


class TestOthers:
    """What is left."""

    def test_values(self) -> None:
        assert one("ENV a b c").pairs == (KeyValue("a", "b c", legacy=True),)  # type: ignore[attr-defined]
        assert one("LABEL a=b c=").pairs == (KeyValue("a", "b"), KeyValue("c", ""))  # type: ignore[attr-defined]
        assert one("ARG a b=").args == (ArgDefault("a"), ArgDefault("b", ""))  # type: ignore[attr-defined]
        assert one("EXPOSE 90/udp 80").ports == ("80", "90/udp")  # type: ignore[attr-defined]
        assert one('VOLUME ["/a b", "/c"]').volumes == ("/a b", "/c")  # type: ignore[attr-defined]
        assert one("STOPSIGNAL SIGKILL").signal == "SIGKILL"  # type: ignore[attr-defined]
        assert one("WORKDIR /a b").path == "/a b"  # type: ignore[attr-defined]
        assert isinstance(one("FROM --platform=$P a aS b.c"), From)
        assert isinstance(one("ARG x"), Arg)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("FOO a", "unknown instruction: FOO (did you mean FROM?)"),
            ("foo a", "unknown instruction: foo (did you mean from?)"),
            ("WORKDIRECTORY a", "unknown instruction: WORKDIRECTORY"),
            ("FROM", "FROM requires either one or three arguments"),
            ("FROM a b", "FROM requires either one or three arguments"),
            (
                "FROM a AS 1",
                'invalid name for build stage: "1", name can\'t start with a number or contain symbols',
            ),
            ("ENV", "ENV requires at least one argument"),
            ("ENV =x", "ENV names can not be blank"),
            ("ARG", "ARG requires at least one argument"),
            ("ARG =x", "ARG names can not be blank"),
            ("USER", "USER requires exactly one argument"),
            ("EXPOSE", "EXPOSE requires at least one argument"),
            ('VOLUME [""]', "VOLUME specified can not be an empty string"),
            ("MAINTAINER --boo a", "unknown flag: --boo"),
        ],
    )
    def test_refused(self, text: str, message: str) -> None:
        assert refused(text) == message


def test_an_error_names_the_line() -> None:
    with pytest.raises(InstructionError) as caught:
        instructions(parse("FROM a\n\nRUNN x\n"))
    assert str(caught.value) == "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)"
    assert (caught.value.line, caught.value.column) == (3, 0)


def test_only_arguments_come_before_the_first_stage() -> None:
    with pytest.raises(InstructionError) as caught:
        instructions(parse("RUN a"))
    assert str(caught.value) == "no build stage in current context"


def test_reading_on_after_errors() -> None:
    stages, meta_args, errors = recover_instructions(parse("RUN a\nFROM b\nRUNN c\nRUN d\nENV X", recover=True))
    assert [type(command) for command in stages[0].commands] == [Run]
    assert (meta_args, len(errors)) == ([], 2)
