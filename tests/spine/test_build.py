"""Builds through the program, the same on both engines and in every tier."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import docker
import pytest

from tests.spine.conftest import Run


def write(folder: Path, dockerfile: str, **files: str) -> str:
    """A context in ``folder``."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (folder / name).write_text(text)
    return str(folder)


def build(program: Run, context: str, *options: str) -> str:
    """The text of a build that went well."""
    done = program("build", "--progress", "plain", *options, context)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def cached(told: str) -> int:
    """How many instructions came from the cache, bases aside, in plain progress."""
    numbers = re.findall(r"^(#\d+) \[[^\]]*\d+/\d+\] (?!FROM )", told, re.MULTILINE)
    return sum(f"{number} CACHED\n" in told for number in set(numbers))


def test_the_seed(program: Run, tmp_path: Path) -> None:
    build(program, write(tmp_path / "c", 'FROM alpine\nCMD ["echo", "hello"]\n'), "-t", "seed")
    assert program("run", "--rm", "seed").stdout == "hello\n"


def test_every_instruction_reaches_the_image(program: Run, client: docker.DockerClient, tmp_path: Path) -> None:
    dockerfile = """
ARG BASE=alpine
FROM $BASE AS made
RUN mkdir /out && echo made > /out/file

FROM alpine
ARG WHO=nobody-yet
ENV GREETING="hello $WHO"
LABEL one=1
WORKDIR /srv/app
COPY --from=made /out/file .
COPY --chown=1000:1000 --chmod=640 local.txt /owned/
RUN stat -c '%a' /owned/local.txt > stat.txt; echo $WHO >> stat.txt
VOLUME /data
EXPOSE 80/tcp
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
USER nobody
ENTRYPOINT ["sh", "-c"]
CMD ["cat file /srv/app/stat.txt; id -u; echo $GREETING"]
"""
    build(program, write(tmp_path / "c", dockerfile, **{"local.txt": "x"}), "-t", "all", "--build-arg", "WHO=me")
    assert program("run", "--rm", "all").stdout == "made\n640\nme\n65534\nhello me\n"
    config = client.images.get("all").attrs["Config"]
    assert (config["Labels"], config["WorkingDir"], config["User"]) == ({"one": "1"}, "/srv/app", "nobody")
    assert (list(config["Volumes"]), list(config["ExposedPorts"])) == (["/data"], ["80/tcp"])
    assert config["StopSignal"] == "SIGINT"
    assert config["Healthcheck"]["Interval"] == 5_000_000_000


def test_a_second_build_is_all_cached(program: Run, client: docker.DockerClient, tmp_path: Path) -> None:
    unique = uuid.uuid4().hex
    context = write(tmp_path / "c", f"FROM alpine\nRUN echo {unique} > /a\nCOPY f /f\n", f="one")
    build(program, context, "-t", "twice")
    first = client.images.get("twice").id
    assert cached(build(program, context, "-t", "twice")) == 2
    assert client.images.get("twice").id == first
    write(tmp_path / "c", f"FROM alpine\nRUN echo {unique} > /a\nCOPY f /f\n", f="two")
    assert cached(build(program, context, "-t", "twice")) == 1
    assert client.images.get("twice").id != first


def test_deleted_files_stay_deleted(program: Run, tmp_path: Path) -> None:
    dockerfile = (
        "FROM alpine\nRUN mkdir /d && touch /d/a /d/b\nRUN rm /d/a /etc/os-release\n"
        "RUN rm -r /d && mkdir /d && touch /d/c\nCMD ls /d /etc/os-release\n"
    )
    build(program, write(tmp_path / "c", dockerfile), "-t", "gone")
    assert program("run", "--rm", "gone").stdout == "/d:\nc\n"


def test_target_and_unused_stages(program: Run, tmp_path: Path) -> None:
    dockerfile = "FROM alpine AS a\nRUN echo a > /f\nFROM alpine AS broken\nRUN exit 9\nFROM a AS c\nRUN echo c >> /f\n"
    context = write(tmp_path / "c", dockerfile)
    build(program, context, "-t", "staged")
    assert program("run", "--rm", "staged", "cat", "/f").stdout == "a\nc\n"
    build(program, context, "-t", "staged", "--target", "a")
    assert program("run", "--rm", "staged", "cat", "/f").stdout == "a\n"


def test_ignored_files_are_not_sent(program: Run, tmp_path: Path) -> None:
    context = write(tmp_path / "c", "FROM alpine\nCOPY . /c\nCMD ls /c\n", keep="1", secret="2")
    (tmp_path / "c" / ".dockerignore").write_text("secret\nDockerfile\n.dockerignore\n")
    build(program, context, "-t", "ignoring")
    assert program("run", "--rm", "ignoring").stdout == "keep\n"


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM alpine\nRUN true\nFETCH x\n", "unknown instruction: FETCH"),
        ("FROM alpine\nCOPY missing /x\n", "missing"),
        ("FROM alpine\nRUN exit 3\n", "exit code: 3"),
        ("FROM alpine\nRUN no-such-command\n", "exit code: 127"),
        ("RUN true\n", "no build stage in current context"),
        ("FROM alpine\nCOPY --nope a /b\n", "unknown flag: "),
        ("", "cannot be empty"),
    ],
)
def test_a_bad_build_says_one_clear_thing(program: Run, tmp_path: Path, dockerfile: str, message: str) -> None:
    done = program("build", "-t", "bad", write(tmp_path / "c", dockerfile))
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_build_tags_nothing_and_keeps_good_layers(
    program: Run, client: docker.DockerClient, tmp_path: Path
) -> None:
    unique = uuid.uuid4().hex
    context = write(tmp_path / "c", f"FROM alpine\nRUN echo {unique}\nRUN exit 3\n")
    assert program("build", "-t", f"half-{unique}", context).returncode == 1
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(f"half-{unique}")
    write(tmp_path / "c", f"FROM alpine\nRUN echo {unique}\nRUN true\n")
    assert cached(build(program, context, "-t", f"half-{unique}")) == 1
