"""The same lines through docker's own command and through ours, on the same engine: the same text and exit code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import docker
import pytest

from dockmagic.commands.errors import CommandError, ExitError
from tests.commands.conftest import Shell
from tests.support import services


def by_docker(line: str, url: str) -> tuple[str, str, int]:
    """(standard output, standard error, exit code) of docker's own command."""
    program = shutil.which("docker")
    if program is None:
        services.missing("the docker command is not installed")
    done = subprocess.run(
        [str(program), *shlex.split(line)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "DOCKER_HOST": url}, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode


def by_us(line: str, shell: Shell) -> tuple[str, str, int]:
    """The same of ours."""
    out, said, code = "", "", 0
    try:
        out = shell.text(*shlex.split(line), stdin=b"")
    except ExitError as error:
        out, code = shell.console.stdout.decode(), error.exit_code
    except CommandError as error:
        out, said, code = shell.console.stdout.decode(), f"{error}\n", error.exit_code
    notes = "".join(f"{note}\n" for note in shell.console.notes)
    return out, notes + shell.console.stderr.decode() + said, code


@pytest.fixture(scope="module")
def standing(engine: str, client: docker.DockerClient) -> Iterator[None]:
    """A container and a volume to look at."""
    shell = Shell(engine)
    shell("volume", "create", "same-volume")
    handle = shell("run", "-d", "--name", "same", "-l", "k=v", "-v", "same-volume:/data", "alpine", "sleep", "1000")
    yield
    shell("rm", "-f", handle.id)
    shell("volume", "rm", "same-volume")


def settled(text: str) -> str:
    """Without what changes from one second to the next."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "ID", text.replace("\r\n", "\n"))
    text = re.sub(r" {2,}", "  ", text)  # columns are as wide as what is in them
    return re.sub(r"(\d+|About a|Less than a|About an) (second|minute|hour)s?( ago)?", "WHILE", text)


LINES = r"""
images
images -q
images --no-trunc
images alpine
images --format '{{.Repository}}:{{.Tag}} {{.ID}}'
images --format 'table {{.Repository}}\t{{.Size}}'
images --format json
images -f dangling=true
image ls --digests
history alpine
history --no-trunc -q alpine
history --format json alpine
ps
ps -a
ps -aq
ps --no-trunc
ps -s
ps -l
ps --format '{{.Names}}: {{.Command}} {{.Ports}} {{.Label "k"}}'
ps --format json
ps -f name=same
container ls -f label=k=v
inspect same -f '{{.State.Status}} {{.Config.Image}} {{json .Config.Cmd}} {{.HostConfig.NetworkMode}}'
inspect -f '{{range .Mounts}}{{.Name}} {{.Destination}}{{end}}' same
inspect -f '{{.Config.Labels}} {{.Config.Env}}' same
inspect -f '{{len .Mounts}} {{.State.Pid | printf "%T"}}' nothing
inspect alpine
inspect same-volume -f '{{.Name}}'
inspect nothing
image inspect nothing
container inspect nothing
logs same
logs nothing
logs --since foo same
logs --until foo same
port same
port same 81
top same -o pid,args
exec same echo hi
exec same sh -c 'echo out; echo err >&2; exit 4'
exec same no-such-thing
exec -u nobody-there same true
exec nothing ls
exec
diff same
volume ls
volume ls -q
volume ls --format json
volume ls --format '{{.Name}} {{.Driver}}'
volume inspect same-volume -f '{{.Name}} {{.Driver}} {{.Scope}}'
network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'
network ls -q
network ls
network inspect nothing
network rm nothing bridge
network create --gateway 10.0.0.1 pooled
network create --subnet 10.9.0.0/24 --subnet 10.9.0.0/25 pooled
network create --subnet 10.9.0.0/24 --ip-range 10.8.0.0/25 pooled
network create --subnet 10.9.0.0/24 --gateway 10.9.0.1 --gateway 10.9.0.2 pooled
network create --subnet 10.9.0.0/24 --aux-address a=10.8.0.1 pooled
system df --format '{{.Type}} {{.TotalCount}}'
system df -v
run --rm alpine echo hello
run --rm alpine sh -c 'echo out; echo err >&2; exit 3'
run --rm alpine no-such-command
run --rm alpine /etc/passwd
run --rm -e A=b -w /tmp -u 1000:1000 -h box alpine sh -c 'echo $A $PWD $(id -u) $(hostname)'
run --rm --entrypoint echo alpine entry
run --rm --tmpfs /t --read-only alpine touch /x
run --nope
run --link a:b:c alpine
run --add-host x alpine
run --ulimit nofile=10:5 alpine
run -e =x alpine
run --dns foo alpine
run --sysctl foo alpine
run --label =x alpine
run --security-opt foo alpine
run --pid foo alpine
run --cpus x alpine
run --platform foo alpine
run --gpus all alpine true
run -a foo alpine
run --device /dev/a:b:c:d alpine
tag alpine a:b:c
commit same 'BAD NAME'
inspect --type foo same
run --device-read-bps sda:1 alpine
run --device-write-iops /dev/sda:1mb alpine
run --blkio-weight-device /dev/sda:5 alpine
run --label-file /nope alpine
run --rm --label-file /dev/null --sig-proxy=false alpine echo same
run
run -p abc alpine
run -p 1-3:5-9 alpine
run -v a:b:c:d alpine
run --memory lots alpine
run --restart sometimes alpine
run --rm --pull never no-such-image
run -e
stop nothing
start nothing
kill nothing
rm nothing
rm -f nothing
rmi nothing
pause nothing
unpause same
wait nothing
rename same same
restart nothing
update same
tag alpine Bad:Ref
tag nothing other
rename one
ps --foo
ps -x
ps --format '{{.Foo}}'
ps --format '{{foo'
ps -f status
frobnicate
""".strip().split("\n")


@pytest.mark.parametrize("line", LINES)
def test_the_same_text(line: str, shell: Shell, run_engine: str, standing: None) -> None:
    expected, got = by_docker(line, run_engine), by_us(line, shell)
    if got != expected:  # somebody else may have used the engine in between: judge only while it stands still
        for _ in range(5):
            expected, got = by_docker(line, run_engine), by_us(line, shell)
            if by_docker(line, run_engine) == expected:
                break
    if "images" in line or "image ls" in line or "df -v" in line:  # engines don't order what is of the same second
        assert sorted(settled(got[0]).split("\n")) == sorted(settled(expected[0]).split("\n"))
    else:
        assert settled(got[0]) == settled(expected[0])
    assert settled(got[1]) == settled(expected[1])
    assert got[2] == expected[2]
