"""The tree: every command where docker has it, help, and what is said of commands that are not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic import client
from dockmagic.commands import tree
from dockmagic.commands.console import Buffer
from dockmagic.commands.errors import CommandError
from dockmagic.commands.session import Session


@pytest.fixture
def session() -> Session:
    """One that reaches no engine."""
    return Session(Buffer(), lambda: client.Choice("unix:///nowhere/docker.sock", "test"))


@pytest.mark.parametrize("path", sorted(tree.PLACES))
def test_every_place_has_its_command(path: str) -> None:
    found = tree.find(path)
    assert found is not None
    assert tuple(path.split(".")) in found.usage.paths
    assert found.usage.short
    assert not found.usage.short.startswith("Usage")


@pytest.mark.parametrize("path", sorted(tree.PLACES))
def test_every_command_has_help(path: str, session: Session) -> None:
    view = tree.execute(session, [*path.split("."), "--help"])
    assert str(view).startswith("Usage:  docker ")


def test_help_of_all_and_of_a_noun(session: Session) -> None:
    whole = str(tree.execute(session, ["--help"]))
    assert "  run         Create and run a new container from an image" in whole
    assert "  network     Manage networks" in whole
    noun = str(tree.execute(session, ["volume"]))
    assert noun.startswith("Usage:  docker volume COMMAND\n\nManage volumes")
    assert str(tree.execute(session, ["help", "run"])).startswith("Usage:  docker run")


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["frobnicate"], "docker: unknown command: docker frobnicate", 1),
        (["rn"], "Did you mean: run", 1),
        (["container", "lss"], "docker: unknown command: docker container lss", 1),
        (["swarm", "init"], "needs a swarm", 1),
        (["compose", "up"], "dockmagic has no compose", 1),
        (["run"], "docker: 'docker run' requires at least 1 argument", 1),
        (["rename", "a"], "docker: 'docker rename' requires 2 arguments", 1),
        (["version", "x"], "docker: 'docker version' accepts no arguments", 1),
        (["images", "--foo"], "unknown flag: --foo", 125),
        (["run", "-p", "abc", "alpine"], "docker: invalid containerPort: abc", 125),
        (["build", "--squash", "."], "flag --squash is not supported", 125),
        (["run", "--rm", "--restart", "always", "alpine"], "cannot specify both --restart and --rm", 125),
        (["-x"], "unknown shorthand flag: 'x' in -x", 125),
        (["tag", "a", "Bad:x"], "repository name (library/Bad) must be lowercase", 1),
        (["pull", "-a", "alpine:3"], "tag can't be used with --all-tags/-a", 1),
        (["ps"], "Cannot connect to the Docker daemon at unix:///nowhere/docker.sock", 1),
        (["inspect", "-f", "{{foo", "x"], 'template parsing error: template: :1: function "foo" not defined', 64),
        (["ps", "-f", "status"], "bad format of filter (expected name=value)", 125),
    ],
)
def test_bad_input_is_one_clear_message(words: list[str], said: str, code: int, session: Session) -> None:
    with pytest.raises(CommandError) as failure:
        tree.execute(session, words)
    assert said in str(failure.value)
    assert failure.value.exit_code == code


def test_help_after_the_image_is_the_containers_own(session: Session) -> None:
    with pytest.raises(CommandError, match="Cannot connect"):
        tree.execute(session, ["run", "alpine", "ls", "--help"])


def test_the_program_starts_without_what_a_command_does_not_need() -> None:
    """``--help`` of one command loads no docker-py."""
    code = (
        "import sys, json; from dockmagic.commands.program import main; main(['run', '--help']);"
        "print(json.dumps([m for m in ('docker', 'requests', 'jinja2', 'IPython') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_file_that_can_not_be_written_is_one_message(session: Session, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"docker: open .*/none: no such file or directory"):
        tree.execute(session, ["run", "--env-file", str(tmp_path / "none"), "alpine"])
    with pytest.raises(CommandError, match=r"open .*none: no such file or directory"):
        tree.execute(session, ["load", "-i", str(tmp_path / "none")])


NOTHING_TO_DO = {"help", "disable-content-trust", "compress", "force-rm"}
"""What there is no more to do for: the help of each says so, or docker's own does nothing."""


def test_no_flag_is_declared_and_then_ignored() -> None:
    """Every flag of every help text is asked for by name somewhere in the commands."""
    sources = "\n".join(p.read_text() for p in Path(tree.__file__).parent.glob("*.py"))
    asked = set(re.findall(r'"([a-z][a-z0-9-]+)"', sources))
    ignored = {
        f"docker {' '.join(found.usage.path)} --{name}"
        for found in map(tree.find, tree.PLACES)
        if found is not None
        for name in found.usage.flags
        if name not in asked and name not in NOTHING_TO_DO
    }
    assert ignored == set()
