"""Dockerfile cells as one Dockerfile, and an environment as one."""

from __future__ import annotations

import json
import types
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from dockmagic.commands.errors import CommandError
from dockmagic.dockerfile import instructions, parse
from dockmagic.notebook.freeze import frozen_dockerfile, modules_of
from dockmagic.notebook.gather import cells_of, gather, gather_file, replayed

CELLS = [
    "%load_ext dockmagic",
    "%%dockerfile -t base/Tools:1\nFROM alpine\nRUN one",
    "print(1)",
    "%%dockerfile --tag=app\nFROM tools AS build\nRUN two\nFROM scratch\nCOPY --from=build /a /a",
]


def test_each_cell_is_a_stage_that_later_cells_can_build_on() -> None:
    text = gather(CELLS)
    stages, _ = instructions(parse(text))
    assert [(s.base, s.name) for s in stages] == [("alpine", "tools"), ("tools", "build"), ("scratch", "app")]
    assert "# %%dockerfile -t base/Tools:1\n" in text
    assert gather(["print(1)"]) == ""


def test_of_a_cell_run_again_the_last_run_counts() -> None:
    again = [*CELLS, "%%dockerfile -t base/Tools:1\nFROM alpine\nRUN better"]
    assert [c.split("\n")[-1] for c in replayed(again)] == ["COPY --from=build /a /a", "RUN better"]


def notebook(folder: Path, kernel: str, *cells: str) -> Path:
    path = folder / "n.ipynb"
    made = [{"cell_type": "code", "source": c} for c in cells]
    path.write_text(json.dumps({"cells": made, "metadata": {"kernelspec": {"name": kernel}}}))
    return path


def test_a_notebooks_file_is_gathered(tmp_path: Path) -> None:
    assert "RUN one" in gather_file(notebook(tmp_path, "python3", *CELLS))
    path = notebook(tmp_path, "dockerfile", "FROM alpine", "docker images", "RUN x")
    assert gather_file(path) == "FROM alpine\nRUN x\n"
    path.write_text("{}")
    with pytest.raises(CommandError, match="is no notebook"):
        gather_file(path)
    with pytest.raises(CommandError, match="no such file"):
        gather_file(tmp_path / "none.ipynb")


SEVERAL = """# syntax=docker/dockerfile:1
ARG BASE=alpine
# what is built
FROM $BASE AS Build
RUN <<END
FROM here it is only text
END

FROM scratch
COPY --from=0 /a /a

# what runs
FROM $BASE
COPY --chmod=755 --from=1 /a /b
"""


def test_a_dockerfile_becomes_a_cell_a_stage() -> None:
    first, second, third = cells_of(SEVERAL)
    head = "# syntax=docker/dockerfile:1\nARG BASE=alpine\n"
    assert first.startswith(f"%%dockerfile -t build\n{head}# what is built\nFROM $BASE AS Build\nRUN <<END\nFROM here")
    assert second == f"%%dockerfile -t stage-1\n{head}FROM scratch\nCOPY --from=build /a /a"
    assert third == f"%%dockerfile\n{head}# what runs\nFROM $BASE\nCOPY --chmod=755 --from=stage-1 /a /b"
    with pytest.raises(CommandError, match="no build stage"):
        cells_of("ARG X=1\n")


def test_a_dockerfile_becomes_a_notebook(tmp_path: Path, ip: InteractiveShell) -> None:
    (tmp_path / "Dockerfile").write_text(SEVERAL)
    ip.run_line_magic("dockmagic", f"dockerfile --import {tmp_path}/Dockerfile -o {tmp_path}/book.ipynb")
    book = nbformat.read(tmp_path / "book.ipynb", as_version=4)
    nbformat.validate(book)
    assert [cell.source for cell in book.cells] == ["%load_ext dockmagic", *cells_of(SEVERAL)]


def test_an_environment_is_frozen_with_its_versions() -> None:
    text = frozen_dockerfile({"jinja2", "os"}, "my book.ipynb")
    stages, _ = instructions(parse(text))
    assert stages[0].base.startswith("python:3.")
    assert "Jinja2==" in text
    assert 'COPY ["my book.ipynb", "./"]' in text
    with pytest.raises(CommandError, match="is no notebook's name"):
        frozen_dockerfile(set(), "x\nRUN evil.ipynb")
    script = frozen_dockerfile({"jinja2"}, "steps/report.py")
    assert script.endswith('COPY ["steps/report.py", "./"]\nENTRYPOINT ["python", "report.py"]\n')
    assert "nbconvert" not in script


def test_the_modules_of_a_namespace() -> None:
    names = {"a": types.ModuleType("numpy"), "_hidden": types.ModuleType("secret"), "b": Path, "c": 3}
    assert modules_of(names) == {"numpy", Path.__module__}
    assert modules_of(names, {"b"}) == {"numpy"}
