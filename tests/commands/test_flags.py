"""Help texts as declarations, and command lines read by them."""

from __future__ import annotations

import pytest

from dockmagic.commands import flags, usage
from dockmagic.commands.errors import FlagError

EXAMPLE = usage.read(
    """
    Usage:  docker go [OPTIONS] IMAGE [COMMAND] [ARG...]

    Go somewhere

    Aliases:
      docker container go, docker go

    Options:
      -a, --all             Everything (default shows just some)
      -d, --detach          In the background
      -e, --env list        Set environment variables, which go on
                            in the next line
          --keep            Keep it (default true)
      -m, --memory bytes    Memory limit
      -p, --publish list    Publish ports
      -t, --time int        Seconds (default 10)
          --name string     Its name
    """
)


def test_a_help_text_declares_a_command() -> None:
    assert EXAMPLE.path == ("go",)
    assert EXAMPLE.paths == (("container", "go"), ("go",))
    assert (EXAMPLE.least, EXAMPLE.most) == (1, None)
    assert EXAMPLE.short == "Go somewhere"
    assert EXAMPLE.stops_at_operand
    assert EXAMPLE.flags["env"].many
    assert EXAMPLE.flags["env"].help.endswith("next line")
    assert EXAMPLE.flags["all"].default == ""
    assert EXAMPLE.flags["time"].default == "10"


@pytest.mark.parametrize(
    ("operands", "counts"),
    [
        ("CONTAINER NEW_NAME", (2, 2)),
        ("CONTAINER [CONTAINER...]", (1, None)),
        ("[REPOSITORY[:TAG]]", (0, 1)),
        ("CONTAINER [ps OPTIONS]", (1, None)),
        ("PATH | URL | -", (1, 1)),
        ("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", (2, 2)),
        ("NAME|ID [NAME|ID...]", (1, None)),
        ("CONTAINER:SRC_PATH DEST_PATH|-", (2, 2)),
        ("", (0, 0)),
    ],
)
def test_how_many_operands_a_usage_line_wants(operands: str, counts: tuple[int, int | None]) -> None:
    read = usage.read(f"Usage:  docker x {operands}\n\nText")
    assert (read.least, read.most) == counts


def test_words_are_read_as_docker_reads_them() -> None:
    options, operands = flags.parse(
        EXAMPLE, ["-ad", "-eA=b", "-e", "C", "-p=80:80", "--keep=false", "--name", "n", "img", "-d", "--all"]
    )
    assert options.on("all")
    assert options.on("detach")
    assert options.all("env") == ["A=b", "C"]
    assert options.all("publish") == ["80:80"]
    assert not options.on("keep")
    assert options.text("name") == "n"
    assert operands == ["img", "-d", "--all"]


def test_what_was_not_given_has_its_default() -> None:
    options, _ = flags.parse(EXAMPLE, ["img"])
    assert options.number("time") == 10
    assert options.on("keep")
    assert not options.on("all")
    assert not options.given("time")
    assert options.all("env") == []


def test_two_dashes_end_the_flags() -> None:
    assert flags.parse(EXAMPLE, ["--", "-d"])[1] == ["-d"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-dx"], "unknown shorthand flag: 'x' in -dx"),
        (["--name"], "flag needs an argument: --name"),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["-m", "much"], 'invalid argument "much" for "-m, --memory" flag: invalid size: \'much\''),
        (["-t", "x"], 'invalid argument "x" for "-t, --time" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
def test_a_bad_flag_is_one_message_with_exit_code_125(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as failure:
        flags.parse(EXAMPLE, words)
    assert str(failure.value).split("\n")[0] == message
    assert failure.value.exit_code == 125
    assert str(failure.value).endswith("Run 'docker go --help' for more information")


def test_a_refused_flag_says_why() -> None:
    with pytest.raises(FlagError, match="flag --gpus is not supported: no GPU"):
        flags.parse(EXAMPLE, ["--gpus", "all"], {"gpus": "no GPU"})


def test_a_code_that_asks_for_an_undeclared_flag_is_found_out() -> None:
    with pytest.raises(KeyError):
        flags.parse(EXAMPLE, ["img"])[0].text("nmae")
