"""docker's own command on both engines: the same words, ids and times aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.cli import Command, program
from tests.engine.conftest import LOOP
from tests.support import images

TEXTS = [
    ["run", "--rm", "alpine", "echo", "hi"],
    ["run", "--rm", "alpine", "sh", "-c", "echo out; exit 3"],
    ["run", "--rm", "alpine", "sh", "-c", "echo err >&2; exit 3"],
    ["run", "--rm", "alpine", "nope"],
    ["run", "--rm", "alpine", "/etc/passwd"],
    ["run", "--rm", "--entrypoint", "", "alpine"],
    ["run", "--rm", "-w", "/nope/x", "alpine", "pwd"],
    ["run", "--rm", "-w", "/etc/passwd", "alpine", "true"],
    ["run", "--rm", "-u", "nope", "alpine", "id"],
    ["run", "--rm", "--network", "nope", "alpine", "true"],
    ["run", "--rm", "-m", "1m", "alpine", "true"],
    ["run", "--rm", "--cpus", "100", "alpine", "true"],
    ["run", "--rm", "-v", "/nope:/x:bad", "alpine", "true"],
    ["run", "--rm", "-v", "/tmp:/", "alpine", "true"],
    ["run", "--rm", "--name", "a b", "alpine", "true"],
    ["run", "--rm", "--cap-add", "nope", "alpine", "true"],
    ["run", "--rm", "--log-driver", "nope", "alpine", "true"],
    ["run", "--rm", "--ulimit", "nofile=20:10", "alpine", "true"],
    ["run", "--rm", "--read-only", "alpine", "touch", "/x"],
    ["run", "--rm", "--hostname", "hh", "--domainname", "dd", "alpine", "hostname", "-f"],
    ["run", "--rm", "-e", "A=1", "-e", "B", "alpine", "sh", "-c", "echo $A $B"],
    ["run", "--rm", "--security-opt", "no-new-privileges", "alpine", "grep", "NoNewPrivs", "/proc/self/status"],
    ["run", "--rm", "--device", "/dev/nope", "alpine", "true"],
    ["run", "--rm", "-t", "alpine", "tty"],
    ["run", "--rm", "--mount", "type=bind,source=/nope,target=/x", "alpine", "true"],
    ["exec", "{box}", "echo", "inside"],
    ["exec", "{box}", "sh", "-c", "exit 4"],
    ["exec", "-w", "/tmp", "-e", "A=b", "-u", "nobody", "{box}", "sh", "-c", "pwd; echo $A; id -un"],
    ["exec", "nothere", "true"],
    ["logs", "{box}"],
    ["logs", "nothere"],
    ["port", "{box}"],
    ["ps", "-a", "--filter", "name={box}", "--format", "{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Status}}"],
    ["rename", "{box}", "{box}"],
    ["unpause", "{box}"],
    ["cp", "{box}:/nope", "."],
    ["cp", "/nope", "{box}:/"],
    ["diff", "nothere"],
    ["kill", "nothere"],
    ["kill", "-s", "NOPE", "{box}"],
    ["rm", "{ended}x"],
    ["kill", "{ended}"],
    ["wait", "{ended}"],
    ["stop", "{ended}"],
    ["top", "{ended}"],
    ["stats", "--no-stream", "nothere"],
    ["inspect", "nothere"],
    ["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}} {{json .Mounts}}", "{ended}"],
    ["tag", "nope", "x"],
    ["tag", "alpine", "UPPER"],
    ["rmi", "nope"],
    ["pull", "UPPER"],
    ["push", "nope"],
    ["history", "nope"],
    ["volume", "create", "a/b"],
    ["volume", "rm", "nothere"],
    ["volume", "inspect", "nothere"],
    ["network", "inspect", "nothere"],
    ["network", "inspect", "--format", "{{.Name}} {{.Driver}} {{.Scope}}", "host", "none"],
    ["network", "rm", "host"],
    ["network", "rm", "nothere"],
    ["network", "create", "host"],
    ["container", "prune", "-f", "--filter", "label=nothing-has-it"],
    ["image", "prune", "-f", "--filter", "label=nothing-has-it"],
    ["volume", "prune", "-f", "--filter", "label=nothing-has-it"],
    ["network", "prune", "-f", "--filter", "label=nothing-has-it"],
    ["system", "df", "--format", "{{.Type}}"],
    ["swarm", "leave"],
    ["node", "ls"],
    ["service", "ls"],
    ["secret", "ls"],
    ["plugin", "ls"],
    ["search", "--limit", "200", "x"],
    ["commit", "nothere"],
    ["attach", "{ended}"],
    ["start", "nothere"],
    ["update", "nothere"],
    ["events", "--since", "1h", "--until", "0s", "--filter", "type=nothing"],
]


@pytest.fixture(scope="module")
def both(embedded: str, dockerd: str, tmp_path_factory: pytest.TempPathFactory) -> list[Command]:
    """The command on each engine."""
    home = tmp_path_factory.mktemp("home")
    return [Command(program(), url, home) for url in (embedded, dockerd)]


@pytest.fixture(scope="module")
def prepared(both: list[Command], tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A running and an ended container of the same names on both."""
    archive = Path(tmp_path_factory.mktemp("alpine")) / "alpine.tar"
    archive.write_bytes(images.alpine())
    for command in both:
        if "[0]" not in command.run("image", "inspect", "--format", "x", "alpine"):
            command.run("load", "-i", str(archive))
        command.run("rm", "-f", "dm-cli-box", "dm-cli-ended")
        command.run("run", "-d", "--name", "dm-cli-box", "alpine", *LOOP)
        command.run("run", "--name", "dm-cli-ended", "alpine", "sh", "-c", "exit 2")
    yield {"{box}": "dm-cli-box", "{ended}": "dm-cli-ended"}
    for command in both:
        command.run("rm", "-f", "dm-cli-box", "dm-cli-ended")


@pytest.mark.parametrize("words", TEXTS, ids=lambda words: " ".join(words)[:60])
def test_the_same_words(both: list[Command], prepared: dict[str, str], words: list[str]) -> None:
    filled = list(words)
    for place, name in prepared.items():
        filled = [word.replace(place, name) for word in filled]
    ours, theirs = (command.run(*filled) for command in both)
    assert ours == theirs
