"""The language and the builder by themselves: reading a Dockerfile, stages side by side."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

from bench.measure import Row, milliseconds
from dockmagic.dockerfile import instructions, parse
from tests.support import images, services

_PIECE = """\
ENV A{n}=${{B:-x}} \\
    C{n}="two words"
RUN --mount=type=cache,target=/c{n} echo {n} \\
    && echo more
COPY --chown=1:2 a{n} b{n} /d/
"""
TEXT = "FROM alpine AS base\n" + "".join(_PIECE.format(n=n) for n in range(30)) + 'CMD ["x"]\n'
STAGES = "FROM alpine AS a\nRUN sleep 2; touch /a\nFROM alpine\nRUN sleep 2\nCOPY --from=a /a /a\n"


def rows() -> Iterator[Row]:
    """Ours alone: no other engine gives its parser, and dockerd runs stages side by side too."""
    lines = TEXT.count("\n")
    yield Row(f"parse a Dockerfile of {lines} lines", milliseconds(lambda: parse(TEXT), 50), goal=2)
    yield Row("the same to typed instructions", milliseconds(lambda: instructions(parse(TEXT)), 50))
    with tempfile.TemporaryDirectory() as folder, services.embedded(Path(folder) / "root") as url:
        client = docker.DockerClient(base_url=url, timeout=60)
        client.images.load(images.alpine())
        yield Row("two independent stages of 2 s each", milliseconds(lambda: _build(client), 1), goal=2600)
        client.close()


def _build(client: docker.DockerClient) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(STAGES)
        tar.addfile(info, io.BytesIO(STAGES.encode()))
    answer = client.api._post(
        client.api._url("/build"), data=out.getvalue(), headers={"Content-Type": "application/x-tar"},
        params={"version": "2", "nocache": "1", "networkmode": "host"},
    )  # fmt: skip
    if b"moby.image.id" not in answer.content:
        raise RuntimeError(answer.content[-500:].decode(errors="replace"))
