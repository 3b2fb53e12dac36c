"""A notebook's cells as one Dockerfile: what a cell is, what a re-run takes back, what is unfinished."""

from __future__ import annotations

import pytest

from dockmagic.notebook.fragments import (
    Fragments,
    docker_lines,
    has_stage,
    is_unfinished,
    kind_of,
    only_arguments,
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("FROM alpine", "dockerfile"),
        ("# a comment\nRUN ls", "dockerfile"),
        ("# syntax=docker/dockerfile:1", "dockerfile"),
        ("docker ps", "docker"),
        ("  # look\n  docker", "docker"),
        ("dockerize x", "dockerfile"),
        ("%docker ps", "magic"),
        ("%%dockerfile\nFROM x", "magic"),
        ("!ls", "magic"),
        ("RUN?", "magic"),
        ("\n  \n", "empty"),
    ],
)
def test_what_a_cell_is(code: str, kind: str) -> None:
    assert kind_of(code) == kind


def test_cells_continue_each_other() -> None:
    fragments = Fragments()
    fragments.keep("a", "FROM alpine")
    fragments.keep("b", "RUN one")
    assert fragments.with_next("RUN two") == ("FROM alpine\nRUN one\nRUN two\n", 2)


def test_a_cell_run_again_takes_back_what_was_built_on_it() -> None:
    fragments = Fragments()
    for cell, text in (("a", "FROM alpine"), ("b", "RUN one"), ("c", "RUN two")):
        fragments.keep(cell, text)
    assert fragments.rewind("b") == 1
    assert fragments.text == "FROM alpine\n"
    assert fragments.rewind("unknown") == 0
    assert fragments.rewind("") == 0
    assert fragments.text == "FROM alpine\n"


def test_a_cell_that_failed_keeps_its_place() -> None:
    fragments = Fragments()
    fragments.keep("a", "FROM alpine")
    fragments.hold_place("b")
    fragments.keep("c", "RUN later")
    assert len(fragments) == 2
    assert fragments.rewind("b") == 1
    fragments.keep("b", "RUN mended")
    assert fragments.text == "FROM alpine\nRUN mended\n"


def test_cells_without_an_id_only_go_on() -> None:
    fragments = Fragments()
    fragments.keep("", "FROM alpine")
    fragments.keep("", "RUN one")
    assert fragments.rewind("") == 0
    assert len(fragments) == 2


@pytest.mark.parametrize(
    ("code", "unfinished"),
    [
        ("RUN ls", False),
        ("RUN ls \\", True),
        ("RUN ls \\\n  -l", False),
        ("RUN <<EOF\nls", True),
        ("RUN <<EOF\nls\nEOF", False),
        ("COPY <<-'A' <<B /x/\n\tone\n\tA\ntwo", True),
        ("COPY <<-'A' <<B /x/\n\tone\n\tA\ntwo\nB", False),
        ("", False),
    ],
)
def test_what_is_unfinished(code: str, unfinished: bool) -> None:
    assert is_unfinished(code) is unfinished


def test_docker_lines_are_joined_and_stripped() -> None:
    code = "# first\ndocker run \\\n  --rm alpine\n\n%docker ps\ndocker"
    assert docker_lines(code) == ["run --rm alpine", "ps", ""]
    with pytest.raises(ValueError, match="has only lines that begin with docker: RUN ls"):
        docker_lines("docker ps\nRUN ls")


def test_arguments_may_come_before_the_first_stage() -> None:
    assert only_arguments("# c\nARG A=1\n")
    assert not only_arguments("ARG A=1\nRUN ls")
    assert has_stage("arg a\nfrom alpine")
    assert not has_stage("RUN echo FROM")
