"""The notebooks as files: English and Korean have the same cells, and what is stored reads well where nothing runs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

BOOKS = Path(__file__).parents[2] / "notebooks"
ENGLISH = sorted(BOOKS.glob("*.ipynb"))
ALL = sorted(BOOKS.rglob("*.ipynb"))


def code_of(book: nbformat.NotebookNode) -> list[tuple[str, list[str]]]:
    """Each code cell without what is in quotes, which is translated, and its tags."""
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    return [(_without_words(cell.source), cell.metadata.get("tags", [])) for cell in cells]


def _without_words(source: str) -> str:
    source = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'", "…", source)
    lines = source.split("\n")
    body = lines[0].startswith("%%docker run")  # its lines are a text, not commands
    return lines[0] if body else "\n".join(line for line in lines if not line.startswith("#"))


def test_there_is_a_korean_one_for_each() -> None:
    assert [p.name for p in ENGLISH] == sorted(p.name for p in (BOOKS / "ko").glob("*.ipynb"))


@pytest.mark.parametrize("path", ENGLISH, ids=lambda p: p.stem)
def test_the_korean_one_has_the_same_cells(path: Path) -> None:
    english, korean = (nbformat.read(p, as_version=4) for p in (path, BOOKS / "ko" / path.name))
    assert [c.cell_type for c in english.cells] == [c.cell_type for c in korean.cells]
    assert code_of(english) == code_of(korean)
    told = "".join(c.source for c in korean.cells if c.cell_type == "markdown")
    assert len(re.findall("[가-힣]", told)) > len(re.findall("[A-Za-z]", told)) / 3


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(BOOKS)))
def test_what_is_stored_reads_well_where_nothing_runs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    shown = 0
    for cell in (c for c in book.cells if c.cell_type == "code"):
        assert cell.execution_count, cell.source
        for output in cell.outputs:
            shown += 1
            if output.output_type == "error":
                assert "raises-exception" in cell.metadata.get("tags", []), cell.source
            if "data" in output:
                assert "text/plain" in output.data
                assert not re.search(r"<script|<style|javascript:|\son\w+=", output.data.get("text/html", ""))
    assert shown > 5


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(BOOKS)))
def test_links_lead_somewhere(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    for cell in (c for c in book.cells if c.cell_type == "markdown"):
        for target in re.findall(r"\]\(([^)]+)\)", cell.source):
            assert (path.parent / target).exists(), target
