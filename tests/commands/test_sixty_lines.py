"""A docker user's sixty lines: in bash with docker's own command on dockerd, and as ``%docker`` cells on our engine.

The same text, ids and times aside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import images, services

LINES = r"""
docker version --format "{{.Server.Os}}"
docker info --format "{{.OSType}}"
docker images --format "{{.Repository}}:{{.Tag}}" alpine
docker run --rm alpine echo hello
docker run --rm alpine sh -c "echo out; echo err >&2; exit 3"
docker run --rm -e NAME=Ana alpine sh -c 'echo "hi $NAME"'
docker run --rm -w /tmp alpine pwd
docker run --rm --user 1000:1000 alpine id -u
docker run --rm --hostname box alpine hostname
docker run --rm --entrypoint cat alpine /etc/alpine-release
docker run --rm --read-only alpine touch /x
docker create --name sixty-one alpine echo created
docker ps --all --filter name=sixty-one --format "{{.Names}} {{.Status}}"
docker start -a sixty-one
docker logs sixty-one
docker inspect sixty-one --format "{{.State.Status}} {{.State.ExitCode}} {{json .Config.Cmd}}"
docker rename sixty-one sixty-two
docker rm sixty-two
docker rm sixty-two
docker run -d --name sixty-web --label tier=sixty alpine sh -c "echo serving; sleep 1000"
docker ps --filter label=tier=sixty --format "table {{.Names}}\t{{.Image}}\t{{.Command}}"
docker exec sixty-web sh -c "echo inside > /note"
docker exec -e A=b sixty-web sh -c 'cat /note; echo $A'
docker exec sixty-web sh -c "exit 4"
docker diff sixty-web
docker cp -q sixty-web:/note note.txt
docker cp -q note.txt sixty-web:/tmp/note.txt
docker exec sixty-web cat /tmp/note.txt
docker logs --tail 1 sixty-web
docker port sixty-web
docker pause sixty-web
docker ps --filter label=tier=sixty --format "{{.State}}"
docker unpause sixty-web
docker commit -m "with a note" sixty-web sixty-noted
docker run --rm sixty-noted cat /note
docker image inspect --format "{{.Comment}} {{json .Config.Labels}}" sixty-noted
docker tag sixty-noted sixty-noted:1.0
docker images --format "{{.Tag}}" sixty-noted:1.0
docker rmi sixty-noted:1.0
docker save -o noted.tar sixty-noted
docker load -i noted.tar
docker stop -t 0 sixty-web
docker wait sixty-web
docker start sixty-web
docker kill sixty-web
docker inspect --format "{{.State.Running}}" sixty-web
docker restart -t 0 sixty-web
docker rm -f sixty-web
docker volume create sixty-data
docker run --rm -v sixty-data:/data alpine sh -c "echo kept > /data/file"
docker run --rm -v sixty-data:/data alpine cat /data/file
docker volume ls --filter name=sixty-data --format "{{.Name}} {{.Driver}}"
docker volume rm sixty-data
docker network create sixty-net
docker run -d --name sixty-on --network sixty-net alpine sleep 1000
docker network inspect sixty-net --format "{{range .Containers}}{{.Name}}{{end}}"
docker network disconnect sixty-net sixty-on
docker rm -f sixty-on
docker network rm sixty-net
docker network rm sixty-net
docker build -q -t sixty-app app
docker run --rm sixty-app
docker image inspect --format "{{json .Config.Cmd}} {{.Os}}" sixty-app
docker rmi sixty-noted
docker frobnicate
""".strip().split("\n")

LEFT = ["sixty-one", "sixty-two", "sixty-web", "sixty-on"]


def folder_for(path: Path) -> Path:
    """Where the lines are typed: with an app to build."""
    app = path / "app"
    app.mkdir(parents=True)
    (app / "Dockerfile").write_text('FROM alpine\nCOPY hello.txt /hello.txt\nCMD ["cat", "/hello.txt"]\n')
    (app / "hello.txt").write_text("hello from the app\n")
    return path


def typed_in_bash(url: str, folder: Path) -> list[str]:
    """What each line shows, of both streams."""
    marked = "\n".join(f"{line} </dev/null\necho '-- next line --'" for line in LINES)
    done = subprocess.run(
        ["bash", "-c", marked], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "DOCKER_HOST": url, "DOCKER_BUILDKIT": "0"}, timeout=240,
    )  # fmt: skip
    return done.stdout.split("-- next line --\n")[: len(LINES)]


def typed_in_cells(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same of cells with %docker."""
    monkeypatch.setenv("DOCKMAGIC_HOST", url)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%load_ext dockmagic")])
    book.cells += [nbformat.v4.new_code_cell(f"%{line}") for line in LINES]
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=120, kernel_name="python3", resources=resources, allow_errors=True).execute()
    return [shown(cell) for cell in book.cells[1:]]


def shown(cell: nbformat.NotebookNode) -> str:
    out = []
    for output in cell.outputs:
        if output.output_type == "stream":
            out.append(output.text)
        elif output.output_type == "error":
            out.append("\n".join(output.traceback) + "\n")
        elif output.data["text/plain"]:
            out.append(output.data["text/plain"] + "\n")
    return "".join(out)


def settled(text: str) -> str:
    """Without ids, the old builder's advice, what a cell adds about exit codes, and the order of the streams.

    An image that goes takes its own layers along: dockerd lists them, we tell of the image.
    """
    text = re.sub(r"sha256:[0-9a-f]{64}|\b[0-9a-f]{64}\b", "ID", text)
    text = re.sub(r"(Deleted: ID\n)+", r"\1", text)
    text = re.sub(r"DEPRECATED: The legacy builder.*\n(?: +.*\n)+\n?", "", text)
    text = re.sub(r"(?m)^docker (run|exec) \S+ exited with code \d+\n", "", text)
    return "\n".join(sorted(line.rstrip() for line in text.splitlines() if line.strip()))


def test_sixty_lines_show_the_same(
    dockerd: str, embedded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("docker") is None:
        services.missing("the docker command is not installed")
    for url in (dockerd, embedded):
        images.provide(url)
    assert len(LINES) >= 60
    expected = typed_in_bash(dockerd, folder_for(tmp_path / "bash"))
    got = typed_in_cells(embedded, folder_for(tmp_path / "cells"), monkeypatch)
    different = {
        line: (theirs, ours)
        for line, theirs, ours in zip(LINES, expected, got, strict=True)
        if settled(theirs) != settled(ours)
    }
    assert different == {}


@pytest.fixture(autouse=True)
def nothing_left(dockerd: str, embedded: str) -> Iterator[None]:
    """The app, and containers of a run that failed half-way, are no other's."""
    yield
    for url in (dockerd, embedded):
        subprocess.run(["docker", "-H", url, "rmi", "-f", "sixty-app"], capture_output=True, check=False)
        subprocess.run(["docker", "-H", url, "rm", "-f", *LEFT], capture_output=True, check=False)
