"""The kernel "Dockerfile": Jupyter's conformance, cells that continue each other, interrupts."""

from __future__ import annotations

import json
import queue
import re
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import jupyter_kernel_test
import nbformat
import pytest

from dockmagic.notebook import install
from tests.notebook.conftest import dockerfile_kernel

Cells = Callable[..., nbformat.NotebookNode]


@pytest.fixture(scope="module", autouse=True)
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kernelspec, installed as its command does, for this Python."""
    folder = tmp_path_factory.mktemp("prefix")
    patch = pytest.MonkeyPatch()
    install.install_spec(str(folder))
    patch.setenv("JUPYTER_PATH", str(folder / "share" / "jupyter"))
    yield folder
    patch.undo()


class TestConformance(jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """What jupyter_kernel_test asks of every kernel. No engine is needed."""

    kernel_name = "dockerfile"
    language_name = "dockerfile"
    file_extension = ".dockerfile"
    completion_samples: ClassVar = [
        {"text": "FRO", "matches": {"FROM"}},
        {"text": "docker imag", "matches": {"images", "image"}},
    ]
    complete_code_samples: ClassVar = ["FROM alpine", "RUN ls", "docker ps"]
    incomplete_code_samples: ClassVar = ["RUN ls \\", "RUN <<EOF\nls"]
    code_inspect_sample = "WORKDIR"
    code_generate_error = "FETCH x"
    code_hello_world = "%docker --version"
    code_stderr = "%%python3\nimport sys; sys.stderr.write('x')"

    def test_execute_stdout(self) -> None:
        self.flush_channels()
        reply, output = self.execute_helper(code="docker --version")
        assert reply["content"]["status"] == "ok"
        assert "dockmagic version" in output[0]["content"]["text"]


def test_the_kernelspec_names_this_python(spec: Path) -> None:
    told = json.loads((spec / "share/jupyter/kernels/dockerfile/kernel.json").read_text())
    assert told["argv"][0] == sys.executable
    assert told["display_name"] == "Dockerfile"


def test_cells_continue_each_other(cells: Cells) -> None:
    once = uuid.uuid4().hex  # so that no step is in the cache
    book = cells(
        "ARG NAME=alpine",
        "FROM $NAME AS first",
        f"RUN echo made-in-one-cell {once} > /made",
        "RUN cat /made; exit 3",
        "FROM alpine\nCOPY --from=first /made /copied",
        "docker run --rm _ cat /copied\ndocker run --rm _ ls /made",
        "RUN cat /copied",
        "%docker run --rm _ cat /copied",
        "FROM alpine\nCOPY --from=first /made /copied\nRUN cat /copied",
        kernel="dockerfile",
    )
    assert book.cells[0].outputs == []
    assert "RUN echo made-in-one-cell" in book.cells[2].shown
    failed = book.cells[3].outputs[-1]
    assert failed.evalue.endswith("exit code: 3")
    assert "1 | >>> RUN cat /made; exit 3" in failed.traceback[0]
    assert book.cells[5].shown.startswith(f"made-in-one-cell {once}\n")
    assert "exited with code" in book.cells[5].outputs[-1].evalue
    assert book.cells[7].shown == f"made-in-one-cell {once}\n"
    if book.cells[6].shown.endswith(f"made-in-one-cell {once}\n"):  # dockerd may lose what a short step said
        assert book.cells[8].shown.endswith(f"made-in-one-cell {once}\n")


def test_places_are_those_of_the_cell(cells: Cells) -> None:
    book = cells("FROM alpine\nRUN true\n", "RUN true\nFETCH x", kernel="dockerfile")
    error = book.cells[1].outputs[-1]
    assert error.evalue == "ERROR: failed to solve: dockerfile parse error on line 2: unknown instruction: FETCH"
    assert error.traceback[0].startswith("cell:2\n")
    assert "FROM alpine" not in error.traceback[0]


def wait_for(client: Any, message: str, timeout: float = 60) -> dict[str, Any]:
    """The reply to ``message``, and what the cell showed."""
    shown: list[Any] = []
    while True:
        told = client.get_iopub_msg(timeout=timeout)
        if told["parent_header"].get("msg_id") != message:
            continue
        if told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
            break
        shown.append(told)
    while True:
        reply = client.get_shell_msg(timeout=timeout)
        if reply["parent_header"].get("msg_id") == message:
            return {"status": reply["content"]["status"], "shown": shown}


def execute(client: Any, code: str, cell: str) -> dict[str, Any]:
    """Run a cell that has an id, as a notebook's frontend does."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = client.session.msg("execute_request", content, metadata={"cellId": cell})
    client.shell_channel.send(message)
    return wait_for(client, message["header"]["msg_id"])


def text_of(told: dict[str, Any]) -> str:
    parts = []
    for message in told["shown"]:
        content = message["content"]
        parts.append(content.get("text") or content.get("data", {}).get("text/plain", "") or content.get("evalue", ""))
    return "\n".join(parts)


def test_a_cell_run_again_rewinds_to_before_it(run_engine: str) -> None:
    with dockerfile_kernel() as (_, client):
        assert execute(client, "FROM alpine", "1")["status"] == "ok"
        assert execute(client, "RUN echo one > /it", "2")["status"] == "ok"
        assert execute(client, "RUN cp /it /copy", "3")["status"] == "ok"
        again = execute(client, "RUN echo two > /it", "2")
        assert "1 later cell stale" in text_of(again)
        looked = execute(client, "docker run --rm _ sh -c 'cat /it; ls /copy'", "look")
        assert looked["status"] == "error"
        assert "two" in text_of(looked)
        assert execute(client, "RUN cp /it /copy", "3")["status"] == "ok"
        assert "two" in text_of(execute(client, "docker run --rm _ cat /copy", "look"))


def image_of(told: dict[str, Any]) -> str:
    """The id of the image that a cell's layer tree shows."""
    found = re.findall(r"(?m)^image  ([0-9a-f]{12})", text_of(told))
    return str(found[-1]) if found else ""


def test_the_second_of_three_cells_run_again_gives_its_image_again(run_engine: str) -> None:
    with dockerfile_kernel() as (_, client):
        cells = {"1": "FROM alpine", "2": "RUN echo same > /it", "3": "RUN cp /it /copy"}
        first = {cell: image_of(execute(client, code, cell)) for cell, code in cells.items()}
        assert len(set(first.values())) == 3
        again = execute(client, cells["2"], "2")
        assert (image_of(again), "1 later cell stale" in text_of(again)) == (first["2"], True)
        assert image_of(execute(client, cells["3"], "3")) == first["3"]


def test_a_failing_cell_stops_run_all(run_engine: str) -> None:
    with dockerfile_kernel() as (_, client):
        sent = [client.execute(code) for code in ("FROM alpine", "RUN exit 3", "docker --version")]
        replies = {}
        while not set(sent) <= set(replies):
            told = client.get_shell_msg(timeout=60)
            replies[told["parent_header"]["msg_id"]] = told["content"]["status"]
    assert [replies[message] for message in sent[:2]] == ["ok", "error"]
    assert replies[sent[2]] in {"aborted", "error"}


def test_a_shutdown_stops_what_a_cell_was_running(run_engine: str, client: Any) -> None:
    with dockerfile_kernel() as (manager, kernel):
        kernel.execute("docker run --rm alpine sh -c 'echo up; sleep 2000'")
        while kernel.get_iopub_msg(timeout=60)["msg_type"] != "stream":
            pass
        manager.shutdown_kernel()
        assert [c.id for c in client.containers.list() if "sleep 2000" in str(c.attrs["Args"])] == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("docker run --rm alpine sh -c 'echo up; sleep 1000'", "was stopped and removed"),
        ("FROM alpine\nRUN echo $(date); sleep 1000", "the build was stopped"),
    ],
)
def test_an_interrupt_is_answered_and_stops_what_ran(run_engine: str, client: Any, code: str, said: str) -> None:
    with dockerfile_kernel() as (manager, kernel):
        message = kernel.execute(code)
        while True:  # until the container, or the step, is running
            told = kernel.get_iopub_msg(timeout=60)
            if told["msg_type"] == "stream" or "sleep" in str(told["content"].get("data", "")):
                break
        manager.interrupt_kernel()
        done = wait_for(kernel, message)
        assert done["status"] == "error"
        assert said in text_of(done)
        assert execute(kernel, "docker --version", "after")["status"] == "ok"
    assert [c.id for c in client.containers.list() if "sleep 1000" in str(c.attrs["Args"])] == []


def test_a_shutdown_is_clean() -> None:
    with dockerfile_kernel() as (manager, client):
        client.shutdown()
        try:
            client.get_control_msg(timeout=30)
        except queue.Empty:
            pytest.fail("the kernel did not answer")
        manager.provisioner.process.wait(30)
        assert manager.provisioner.process.returncode == 0
