"""Loading, unloading, and the magics in IPython without a kernel."""

from __future__ import annotations

import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

from dockmagic.notebook.completion import complete_cell, complete_dockerfile, complete_line
from dockmagic.notebook.errors import DockerError
from dockmagic.notebook.imagepaths import next_parts
from dockmagic.notebook.inspection import explain_cell


class NoNames:
    """An engine that has nothing but what a test says."""

    def images(self) -> list[str]:
        return ["alpine:latest", "busybox:latest"]

    def containers(self) -> list[str]:
        return ["web", "worker"]

    def networks(self) -> list[str]:
        return ["bridge"]

    def volumes(self) -> list[str]:
        return ["data"]

    def files(self, image: str, prefix: str) -> list[str]:
        paths = {"alpine": ["/bin/", "/bin/sh", "/etc/", "/etc/passwd"], "busybox": ["/home/"]}
        return next_parts(paths.get(image, []), prefix)


def test_loading_is_quick_and_starts_nothing() -> None:
    code = (
        "import sys, time; from IPython.core.interactiveshell import InteractiveShell as S; ip = S.instance();"
        "begin = time.process_time(); ip.run_line_magic('load_ext', 'dockmagic');"
        "print(time.process_time() - begin, [m for m in ('docker', 'click', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.strip().split(" ", 1)
    assert loaded == "[]"
    assert float(seconds) < 0.15


def test_loading_twice_and_unloading_leaves_nothing(ip: InteractiveShell) -> None:
    from dockmagic.notebook import extension

    extension.load(ip)
    with_it = list(ip.Completer.custom_matchers)
    extension.unload(ip)
    assert sum("dockmagic" in getattr(m, "__qualname__", "") for m in ip.Completer.custom_matchers) == 0
    assert len(ip.Completer.custom_matchers) in {len(with_it), len(with_it) - 1}
    for kind in ("line", "cell"):
        assert not {"docker", "dockerfile", "dockmagic"} & set(ip.magics_manager.magics[kind])
    extension.unload(ip)
    extension.load(ip)
    assert "docker" in ip.magics_manager.magics["line"]


def test_errors_render_themselves_without_a_traceback() -> None:
    error = DockerError("ERROR: failed\n\nUsage: x", frame="cell:1\n 1 | >>> RUN x\n")
    assert error._render_traceback_() == ["cell:1\n 1 | >>> RUN x", "ERROR: failed", "Usage: x"]


def test_help_needs_no_engine(ip: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    ip.run_line_magic("docker", "run --help")
    ip.run_line_magic("dockerfile", "--help")
    ip.run_line_magic("dockmagic", "")
    told = capsys.readouterr().out
    assert "Usage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]" in told
    assert "Usage:  %%dockerfile [OPTIONS]" in told
    assert "freeze" in told


def test_a_value_that_is_kept_is_not_shown(ip: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    ip.run_cell("kept = %docker ps --help")
    assert capsys.readouterr().out == ""
    assert str(ip.user_ns["kept"]).startswith("Usage:")
    ip.run_cell("%docker ps --help")
    assert capsys.readouterr().out.startswith("Usage:")


@pytest.mark.parametrize(
    ("text", "some", "none"),
    [
        ("im", ["images", "image", "import"], ["ps"]),
        ("container pr", ["prune"], ["ps"]),
        ("run --ent", ["--entrypoint"], ["--env"]),
        ("run --rm al", ["alpine:latest"], ["web"]),
        ("stop w", ["web", "worker"], ["alpine:latest"]),
        ("run --network ", ["bridge"], ["web"]),
        ("run -v ", ["data:"], ["web"]),
        ("nonsense ", [], ["web"]),
    ],
)
def test_completion_of_the_command_line(text: str, some: list[str], none: list[str]) -> None:
    found = complete_line(text, NoNames())  # type: ignore[arg-type]
    assert set(some) <= set(found)
    assert not set(none) & set(found)


@pytest.mark.parametrize(
    ("body", "some"),
    [
        ("FR", ["FROM"]),
        ("FROM a", ["alpine:latest"]),
        ("FROM alpine AS made\nCOPY --from=m", ["--from=made"]),
        ("FROM alpine\nCOPY --ch", ["--chmod=", "--chown="]),
        ("FROM alpine\nr", ["RUN"]),
        ("FROM alpine ", ["AS"]),
        ("FROM alpine\nWORKDIR /", ["/bin/", "/etc/"]),
        ("FROM alpine\nRUN ls /etc/p", ["/etc/passwd"]),
        ("FROM busybox\nCOPY --from=alpine /b", ["/bin/"]),
        ("FROM busybox\nCOPY --from=alpine bin/", ["bin/sh"]),
        ("FROM alpine AS a\nFROM busybox\nCOPY --from=a /etc/", ["/etc/passwd"]),
        ("FROM alpine AS a\nFROM busybox\nCOPY --from=0 /etc/", ["/etc/passwd"]),
        ("FROM alpine AS a\nFROM a\nCOPY x /et", ["/etc/"]),
        ("ARG NAME=1 OTHER\nFROM alpine\nENV HOME=/x\nRUN echo $", ["$NAME", "$OTHER", "$HOME"]),
        ("ARG NAME\nFROM alpine\nRUN echo ${NA", ["${NAME}"]),
    ],
)
def test_completion_of_a_dockerfile(body: str, some: list[str]) -> None:
    assert set(some) <= set(complete_dockerfile(body, NoNames()))  # type: ignore[arg-type]


def test_a_working_directory_is_a_folder() -> None:
    assert complete_dockerfile("FROM alpine\nWORKDIR /etc/", NoNames()) == []  # type: ignore[arg-type]


def test_what_is_below_the_first_line_is_known_there() -> None:
    whole = "%%dockerfile --build-arg \nARG WHO=you\nFROM alpine AS first\n"
    assert complete_cell("%%dockerfile --build-arg W", NoNames(), whole) == ["WHO="]  # type: ignore[arg-type]
    assert complete_cell("%%dockerfile --target f", NoNames(), whole) == ["first"]  # type: ignore[arg-type]


def test_parts_of_paths() -> None:
    paths = ["/a", "/b/", "/b/c/", "/b/c/d", "/b/e", "/b0", "/ba/x"]
    assert next_parts(paths, "/") == ["/a", "/b/", "/b0", "/ba/"]
    assert next_parts(paths, "/b") == ["/b/", "/b0", "/ba/"]
    assert next_parts(paths, "/b/") == ["/b/c/", "/b/e"]
    assert next_parts(paths, "/b/c/d") == ["/b/c/d"]
    assert next_parts(paths, "/z") == []


@pytest.mark.parametrize(
    ("code", "at", "said"),
    [
        ("%docker run --rm alpine", "run", "Usage:  docker run"),
        ("r = %docker run --rm alpine", "--rm", "--rm\n\nAutomatically remove"),
        ("%docker ps -a", "-a", "-a, --all\n\nShow all containers"),
        ("%%dockerfile --no-cache\nFROM alpine", "--no", "--no-cache\n\nDo not use cache"),
        ("%%dockerfile\nFROM alpine\nWORKDIR /srv", "WORK", "WORKDIR /path"),
        ("%%dockerfile\nFROM alpine\nCOPY --from=x a b", "--from", "COPY --from\n\nCopy from a stage"),
        ("%%docker run -i alpine sh\nRUN", "RUN", None),
        ("print(1)\nlen", "len", None),
    ],
)
def test_what_is_explained_in_a_cell(code: str, at: str, said: str | None) -> None:
    found = explain_cell(code, code.index(at) + 1)
    assert found is None if said is None else (found or "").startswith(said)


@pytest.mark.parametrize(
    ("cell", "some"),
    [
        ("%docker im", ["images"]),
        ("x = 1\nr = %docker run al", ["alpine:latest"]),
        ("%%docker run -i al", ["alpine:latest"]),
        ("%%dockerfile --no-c", ["--no-cache"]),
        ("%%dockerfile -t x\nFROM alpine AS a\nCOPY --from=", ["--from=a"]),
        ("%%docker run -i alpine sh\nim", None),
        ("im", None),
    ],
)
def test_what_is_dockers_in_a_cell(cell: str, some: list[str] | None) -> None:
    found = complete_cell(cell, NoNames())  # type: ignore[arg-type]
    assert found is None if some is None else set(some) <= set(found or [])


def test_completion_through_ipython(ip: InteractiveShell) -> None:
    from IPython.core import completer
    from IPython.core.completer import provisionalcompleter

    if not hasattr(completer, "context_matcher"):
        pytest.skip("this IPython has no matchers that see the cell")
    for cell, expected in (("%docker im", {"image", "images", "import"}), ("%%dockerfile\nFR", {"FROM"})):
        with provisionalcompleter():
            found = {c.text for c in ip.Completer.completions(cell, len(cell))}
        assert found == expected


def test_gathering_what_was_run(ip: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    ip.run_cell("%%dockerfile --no-run -t one\nFROM alpine\nRUN echo 1\n", store_history=True)
    capsys.readouterr()
    ip.run_cell("%dockmagic dockerfile", store_history=True)
    assert capsys.readouterr().out == "# %%dockerfile --no-run -t one\nFROM alpine AS one\nRUN echo 1\n"
