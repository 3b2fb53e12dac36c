"""Containers through the program, the same on both engines and in every tier."""

from __future__ import annotations

import json

import docker
import pytest

from tests.spine.conftest import Run


def test_echo(program: Run) -> None:
    done = program("run", "--rm", "alpine", "echo", "hello")
    assert (done.stdout, done.returncode) == ("hello\n", 0), done.stderr


def test_both_streams_stay_apart(program: Run) -> None:
    done = program("run", "--rm", "alpine", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 3", 3), ("sh -c 'kill -TERM $$'", 143), ("sh -c 'kill -9 $$'", 137), ("true", 0)],
)
def test_exit_code(program: Run, command: str, code: int) -> None:
    assert program("run", "--rm", "alpine", "sh", "-c", f"{command}; exit $?").returncode == code


def test_command_not_found_is_127(program: Run) -> None:
    done = program("run", "--rm", "alpine", "no-such-command")
    assert done.returncode == 127
    assert 'exec: "no-such-command": executable file not found in $PATH' in done.stderr
    assert "Traceback" not in done.stderr


def test_not_executable_is_126(program: Run) -> None:
    assert program("run", "--rm", "alpine", "/etc/passwd").returncode == 126


def test_standard_input(program: Run) -> None:
    done = program("run", "--rm", "-i", "alpine", "wc", "-c", input="four")
    assert done.stdout.strip() == "4", done.stderr


def test_environment_and_folder(program: Run) -> None:
    done = program("run", "--rm", "-e", "WHO=me", "-w", "/made/here", "alpine", "sh", "-c", "echo $WHO $PWD $HOME")
    assert done.stdout == "me /made/here /root\n", done.stderr


def test_hostname_is_the_short_id(client: docker.DockerClient) -> None:
    container = client.containers.create("alpine", ["sh", "-c", "hostname; cat /etc/hostname"])
    try:
        container.start()
        container.wait()
        assert container.logs().decode().split() == [container.id[:12]] * 2
    finally:
        container.remove(force=True)


def test_user_by_name_and_number(program: Run) -> None:
    assert program("run", "--rm", "-u", "nobody", "alpine", "id", "-u").stdout == "65534\n"
    assert program("run", "--rm", "-u", "1234:56", "alpine", "sh", "-c", "id -u; id -g").stdout == "1234\n56\n"


def test_volume_is_shared(client: docker.DockerClient) -> None:
    volume = client.volumes.create()
    try:
        client.containers.run(
            "alpine", ["sh", "-c", "echo kept > /data/file"], volumes=[f"{volume.name}:/data"], remove=True
        )
        out = client.containers.run("alpine", ["cat", "/data/file"], volumes=[f"{volume.name}:/data:ro"], remove=True)
        assert out == b"kept\n"
    finally:
        volume.remove()


def test_detached_logs_exec_stop(program: Run) -> None:
    started = program(
        "run", "-d", "alpine", "sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    )
    container = started.stdout.strip()
    assert len(container) == 64, started.stderr
    try:
        assert program("exec", container, "sh", "-c", "echo in; exit 4").returncode == 4
        assert program("exec", "-i", container, "cat", input="through").stdout == "through"
        assert program("stop", container).stdout.strip() == container
        assert program("logs", container).stdout == "up\nbye\n"
        state = json.loads(program("inspect", container).stdout)[0]["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 5)
    finally:
        program("rm", "-f", container)


def test_a_file_of_the_image_is_the_containers_own(client: docker.DockerClient) -> None:
    change = ["sh", "-c", "echo changed > /etc/alpine-release; rm /etc/os-release; chmod 600 /etc/passwd; touch /new"]
    container = client.containers.create("alpine", change)
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs()
        changes = {(c["Path"], c["Kind"]) for c in container.diff()}
        assert {("/etc/alpine-release", 0), ("/etc/os-release", 2), ("/new", 1)} <= changes
    finally:
        container.remove(force=True)
    assert client.containers.run("alpine", ["cat", "/etc/alpine-release"], remove=True) == b"3.20.0\n"


def test_many_processes(program: Run) -> None:
    script = "for i in $(seq 1 20); do (echo $i > /tmp/$i) & done; wait; ls /tmp | wc -l"
    assert program("run", "--rm", "alpine", "sh", "-c", script).stdout.strip() == "20"


def test_terminal(program: Run) -> None:
    done = program("run", "--rm", "-t", "alpine", "sh", "-c", "test -t 1 && echo terminal")
    assert done.stdout.replace("\r", "") == "terminal\n", done.stderr
