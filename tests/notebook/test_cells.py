"""Cells through real kernels, on each engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nbformat

Cells = Callable[..., nbformat.NotebookNode]


def error_of(cell: nbformat.NotebookNode) -> Any:
    (error,) = (o for o in cell.outputs if o.output_type == "error")
    return error


def test_streams_go_where_they_belong(cells: Cells) -> None:
    book = cells("%docker run --rm alpine sh -c 'echo out; echo err >&2'")
    assert {(o.name, o.text) for o in book.cells[0].outputs} == {("stdout", "out\n"), ("stderr", "err\n")}


def test_every_line_of_a_cell_shows_its_view(cells: Cells) -> None:
    (cell,) = cells("%docker images alpine\n%docker volume ls\nx = 1").cells
    tables = [o for o in cell.outputs if o.output_type == "display_data"]
    assert [t.data["text/plain"].split()[0] for t in tables] == ["REPOSITORY", "DRIVER"]
    assert "<table" in tables[0].data["text/html"]


def test_a_kept_result_is_a_value_and_is_shown_when_asked_for(cells: Cells) -> None:
    book = cells("t = %docker images alpine", "t[0]['Tag']", "t", "r = %docker run --rm alpine echo said", "r")
    assert book.cells[0].outputs == []
    assert book.cells[1].shown == "'latest'\n"
    assert "alpine" in book.cells[2].shown
    assert book.cells[3].shown == "said\n"
    assert book.cells[4].shown == "said\n"


def test_the_body_is_standard_input_or_a_script(cells: Cells) -> None:
    book = cells(
        "%%docker run --rm -i alpine sh\necho from the body\n",
        "%%docker run --rm alpine wc -l\none\ntwo\n",
        "%%docker run --rm --script sh alpine A\necho script $1\n",
        "%%docker build -q -t from-body -\nFROM alpine\nCMD echo built from a body\n",
        "%docker run --rm from-body",
    )
    assert book.cells[0].shown == "from the body\n"
    assert book.cells[1].shown.strip() == "2"
    assert book.cells[2].shown == "script A\n"
    assert book.cells[4].shown == "built from a body\n"


def test_python_values_enter_by_one_form(cells: Cells) -> None:
    book = cells("word = 'a \"b\" $c'\n%docker run --rm alpine echo @{word} $word {word}")
    assert book.cells[0].shown == 'a "b" $c $word {word}\n'


def test_a_build_ends_as_its_layer_tree(cells: Cells) -> None:
    book = cells(
        '%%dockerfile -t cell-tree\nFROM alpine\nRUN echo $RANDOM > /x\nCMD ["cat", "/x"]', "%docker run --rm _"
    )
    kinds = [o.output_type for o in book.cells[0].outputs]
    assert kinds == ["display_data", "display_data"]
    live, tree = book.cells[0].outputs
    assert live.data == {"text/plain": "", "text/html": ""}
    assert tree.data["text/plain"].startswith("cell-tree:latest")
    assert "[2/2] RUN echo $RANDOM > /x" in tree.data["text/plain"]
    assert "<script" not in tree.data["text/html"]
    assert book.cells[1].shown.strip().isdigit()


def test_checks_are_shown_before_the_build(cells: Cells) -> None:
    (cell,) = cells("%%dockerfile\nFROM alpine\nCMD echo x\n").cells
    assert cell.outputs[0].data["text/plain"].startswith("cell:2 | CMD echo x\n  WARNING: JSONArgsRecommended")


def test_a_failure_is_one_clean_error(cells: Cells) -> None:
    book = cells(
        "%%dockerfile -t failing\nFROM alpine\nRUN echo said; exit 3\n",
        "%%docker debug\nls -d /bin\n",
        "%docker run --rm alpine sh -c 'exit 4'",
        "%docker nothing",
        "%docker run --rm -e 'A=b",
        "print('went on')",
    )
    error = error_of(book.cells[0])
    assert error.ename == "DockerError"
    assert error.evalue.endswith("did not complete successfully: exit code: 3")
    assert "2 | >>> RUN echo said; exit 3" in error.traceback[0]
    assert "said" in book.cells[0].shown
    assert book.cells[1].shown.endswith("/bin\n")
    assert error_of(book.cells[2]).evalue == "docker run alpine exited with code 4"
    assert "unknown command" in error_of(book.cells[3]).evalue
    assert "no closing quotation" in error_of(book.cells[4]).evalue
    assert book.cells[5].shown == "went on\n"
    assert not any('File "' in cell.shown for cell in book.cells)


def test_files_of_the_notebooks_folder_are_the_context(cells: Cells) -> None:
    book = cells(
        "from pathlib import Path\nPath('given').write_text('given'); Path('.dockerignore').write_text('secret')\n"
        "Path('secret').write_text('s');",
        "%%dockerfile -q -t with-context --save out/Dockerfile\nFROM alpine\nCOPY . /c\nCMD ls /c",
        "%docker run --rm with-context",
        "Path('out/Dockerfile').read_text()",
    )
    assert set(book.cells[2].shown.split()) >= {"given"}
    assert "secret" not in book.cells[2].shown
    assert book.cells[3].shown == "'FROM alpine\\nCOPY . /c\\nCMD ls /c\\n'\n"


def test_a_detached_run_is_a_handle(cells: Cells) -> None:
    book = cells(
        "h = %docker run -d alpine sh -c 'echo up; while :; do sleep 0.1; done'",
        "print(h.status, h.exec('echo', 'in').stdout.strip())\nh.stop(0)\nprint(h.status, h.logs())\nh.remove()",
    )
    assert book.cells[1].shown.split() == ["running", "in", "exited", "up"]


def test_docker_debug_and_terminals_without_a_person_say_so(cells: Cells) -> None:
    book = cells("%docker run -it --rm alpine sh", "%docker container prune")
    assert error_of(book.cells[0]).evalue == "the input device is not a TTY"
    assert "use --force" in error_of(book.cells[1]).evalue
