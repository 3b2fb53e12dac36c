"""The face: loading it, the tree of a large image, completion, and what showing a build costs the build."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker

from bench.measure import Row, milliseconds
from dockmagic import client
from dockmagic.commands.console import Buffer, Live
from dockmagic.commands.pacing import Pacer
from dockmagic.commands.session import Session
from dockmagic.commands.tree import execute
from dockmagic.notebook.completion import Names, complete_dockerfile, complete_line
from dockmagic.notebook.console import PAUSE
from dockmagic.views.view import View
from tests.support import images, services

FILES, FOLDERS = 100_000, 1_000

LOAD = (
    "import time; from IPython.core.interactiveshell import InteractiveShell as S; ip = S.instance();"
    "began = time.perf_counter(); ip.run_line_magic('load_ext', 'dockmagic'); print(time.perf_counter() - began)"
)

NOISY = (
    "FROM alpine\nRUN i=0; while [ $i -lt 20000 ]; do echo line $i of a long output; i=$((i+1)); done\n"
    "RUN sleep 0.5\nRUN i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done\n"
)


def rows() -> Iterator[Row]:
    loads = [subprocess.run([sys.executable, "-c", LOAD], capture_output=True, check=True).stdout for _ in range(5)]
    yield Row("%load_ext dockmagic", statistics.median(float(t) * 1000 for t in loads), goal=150)
    with tempfile.TemporaryDirectory() as folder, services.embedded(Path(folder) / "root") as url:
        engine = docker.DockerClient(base_url=url, timeout=300)
        engine.images.load(images.alpine())
        engine.images.load(images.archive("large:latest", _large(), ["sh"]))
        engine.close()
        session = Session(Buffer(), lambda: client.Choice(url, "bench"))

        def tree() -> None:
            view = execute(session, ["history", "--files", "large"])
            if view is None or "more" not in view.html():
                raise RuntimeError("the tree is not cut")

        yield Row(f"tree of an image of {FILES} files, to its HTML", milliseconds(tree, 3), goal=1000)
        yield from _completions(session)
        yield from _progress(session)


def _large() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(FILES):
            info = tarfile.TarInfo(f"data/{number % FOLDERS}/{number}")
            info.size = number % 50
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def _completions(session: Session) -> Iterator[Row]:
    class Magics:
        def __init__(self) -> None:
            self.session = session

    def fresh(complete: str, body: bool) -> None:
        names = Names(Magics())  # type: ignore[arg-type]
        if not (complete_dockerfile(complete, names) if body else complete_line(complete, names)):
            raise RuntimeError(f"nothing completes {complete!r}")

    fresh("stop", False)  # what is imported at the first
    yield Row("Tab: images, asked of the engine", milliseconds(lambda: fresh("run al", False)), goal=50)
    names = Names(Magics())  # type: ignore[arg-type]
    while not complete_dockerfile("FROM large\nRUN ls /data/", names):
        time.sleep(0.01)
    text = "FROM large\nRUN ls /data/99"
    yield Row(
        "Tab: paths of a large image, read before", milliseconds(lambda: complete_dockerfile(text, names)), goal=50
    )
    again = Names(Magics())  # type: ignore[arg-type]
    began = time.perf_counter()
    complete_dockerfile(text, again)
    yield Row("Tab: the same, at the first", (time.perf_counter() - began) * 1000, goal=50)
    while not complete_dockerfile(text, again):
        time.sleep(0.01)


class _Drawn(Buffer):
    """A console that makes of a live view what a kernel sends, as often as one does."""

    def live(self, *, notes: bool = False) -> Live:
        return _Drawing()


class _Drawing:
    def __init__(self) -> None:
        self._view: View | None = None
        self._pacer = Pacer(self._draw, PAUSE)

    def update(self, view: View) -> None:
        self._view = view
        self._pacer.touch()

    def _draw(self) -> None:
        if self._view is not None:
            json.dumps(self._view._repr_mimebundle_())

    def close(self, view: View | None) -> None:
        self._pacer.stop()
        if view is not None:
            json.dumps(view._repr_mimebundle_())


def _progress(session: Session) -> Iterator[Row]:
    """A build that writes much, shown and not, in turn; the quickest of each is compared."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number in range(8):
        shown = number % 2 == 0
        session.console = (_Drawn if shown else Buffer)(NOISY.encode())
        began = time.perf_counter()
        execute(session, ["build", "--no-cache", *([] if shown else ["--quiet"]), "-"])
        taken[shown].append((time.perf_counter() - began) * 1000)
    yield Row("a build of 40,000 lines, shown; other: quiet", min(taken[True]), min(taken[False]), goal=1.05)
