"""The quickstart, and small notebooks, through real kernels."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import docker
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.support import images

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def text_of(output: nbformat.NotebookNode) -> str:
    """What a reader without HTML sees of an output."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return str(output.data.get("text/plain", ""))


def execute(notebook: nbformat.NotebookNode, folder: Path, *, allow_errors: bool = False) -> list[str]:
    """The text of each code cell's outputs."""
    kernel = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name=kernel,
        resources={"metadata": {"path": str(folder)}},
        allow_errors=allow_errors,
    ).execute()
    return ["".join(text_of(o) for o in c.outputs) for c in notebook.cells if c.cell_type == "code"]


def cells(*sources: str) -> nbformat.NotebookNode:
    """A notebook of these cells with dockmagic loaded."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in ("%load_ext dockmagic", *sources)])


def settled(text: str) -> str:
    """``text`` without ids and times, which differ from run to run."""
    text = re.sub(r"sha256:[0-9a-f]{12,64}|\b[0-9a-f]{12}\b", "ID", text)
    return re.sub(r"\d+(\.\d+)?\s?m?s\b", "TIME", text)


@pytest.fixture(scope="session")
def with_stand_ins(engine: str, client: docker.DockerClient, embedded: str) -> None:
    """hello-world and dockmagic/host on this engine."""
    if engine != embedded:
        images.share(embedded, engine, ["hello-world", "dockmagic/host"])


def test_quickstart(run_engine: str, with_stand_ins: None, tmp_path: Path) -> None:
    told = execute(nbformat.read(QUICKSTART, as_version=4), tmp_path)
    assert "Hello from dockmagic!" in told[1]
    assert "[3/4] RUN" in told[3]
    assert told[4].startswith("Hello from a layer!\nbuilt by root\n")
    assert "CACHED" in told[5].upper()
    assert told[6].strip() == "3"


def test_quickstart_says_the_same_on_both_engines(
    dockerd: str, embedded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.share(embedded, dockerd, ["hello-world", "dockmagic/host"])
    told = {}
    for name, url in (("embedded", embedded), ("dockerd", dockerd)):
        with_it = docker.DockerClient(base_url=url)
        with contextlib.suppress(docker.errors.ImageNotFound):
            with_it.images.remove("greeting", force=True)
        with_it.api.prune_builds(all=True)
        with_it.close()
        monkeypatch.setenv("DOCKMAGIC_HOST", url)
        (tmp_path / name).mkdir()
        told[name] = [settled(t) for t in execute(nbformat.read(QUICKSTART, as_version=4), tmp_path / name)]
    assert told["embedded"][:-2] == told["dockerd"][:-2]


def test_a_failing_run_fails_the_cell(run_engine: str, tmp_path: Path) -> None:
    book = cells("%%dockerfile -t broken\nFROM alpine\nRUN echo before\nRUN exit 3")
    with pytest.raises(CellExecutionError) as failure:
        execute(book, tmp_path)
    assert "exit code: 3" in str(failure.value)
    assert "Traceback" not in str(failure.value)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%docker run --rm alpine sh -c 'exit 4'", "4"),
        ("%docker run --nope alpine", "unknown flag: --nope"),
        ("%docker frobnicate", "frobnicate"),
        ("%%dockerfile\nFROM alpine\nFETCH x", "unknown instruction: FETCH"),
        ("%docker inspect no-such-thing", "no-such-thing"),
    ],
)
def test_bad_input_is_one_clear_error(run_engine: str, tmp_path: Path, cell: str, message: str) -> None:
    book = cells(cell)
    told = execute(book, tmp_path, allow_errors=True)
    (error,) = (o for o in book.cells[1].outputs if o.output_type == "error")
    assert message in told[1]
    assert len(error.traceback) < 12
    assert "Traceback" not in told[1]


def test_go_templates_and_shell_variables_reach_docker(run_engine: str, tmp_path: Path) -> None:
    told = execute(
        cells("%docker run --rm -e A=b alpine sh -c 'echo $A'", "%docker images --format {{.Repository}}"), tmp_path
    )
    assert told[1].strip() == "b"
    assert "alpine" in told[2].split()


def test_a_result_is_an_object(run_engine: str, tmp_path: Path) -> None:
    book = cells("r = %docker run --rm alpine sh -c 'echo out; echo err >&2'", "print(repr(r.stdout), r.exit_code)")
    assert execute(book, tmp_path)[2].strip() == "'out\\n' 0"


def test_the_dockerfile_kernel(run_engine: str, tmp_path: Path) -> None:
    sources = ["FROM alpine", "RUN echo one > /first", "RUN cat /first", "RUN exit 3", "docker images"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    book.metadata["kernelspec"] = {"name": "dockerfile", "display_name": "Dockerfile", "language": "dockerfile"}
    told = execute(book, tmp_path, allow_errors=True)
    assert "one" in told[2]
    assert any(o.output_type == "error" for o in book.cells[3].outputs)
    assert "exit code: 3" in told[3]
    assert "alpine" in told[4]
