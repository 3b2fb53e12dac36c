"""BuildKit's parser cases: trees, typed instructions, warnings and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dockmagic.dockerfile import DockerfileError, instructions, parse
from tests.dockerfile import shapes
from tests.dockerfile.conftest import Score

Cases = Callable[[str], list[Any]]


def _misses(case: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What differs from what BuildKit makes of the case."""
    name = case["id"]
    try:
        tree = parse(case["dockerfile"])
    except DockerfileError as error:
        return [] if str(error) == expected.get("parse_error") else [f"{name}: {error}"]
    if "parse_error" in expected:
        return [f"{name}: no error, not {expected['parse_error']}"]
    found: dict[str, Any] = {
        "ast": [shapes.node(node) for node in tree.nodes],
        "directives": {directive.name: directive.value for directive in tree.directives},
        "dump": tree.dump(),
        "escape": tree.escape,
        "warnings": [(warning.line, warning.message) for warning in tree.warnings],
    }
    wanted = {key: expected[key] for key in found}
    wanted["warnings"] = [(warning["line"], warning["short"]) for warning in expected["warnings"]]
    try:
        stages, meta_args = instructions(tree)
        found["stages"] = [shapes.stage(stage) for stage in stages]
        found["meta_args"] = [shapes.meta_arg(arg) for arg in meta_args]
    except DockerfileError as error:
        found["instr_error"] = str(error)
    wanted |= {key: expected[key] for key in ("stages", "meta_args", "instr_error") if key in expected}
    return [f"{name}: {key}: {found.get(key)} != {wanted.get(key)}" for key in wanted if found.get(key) != wanted[key]]


@pytest.mark.parametrize(("suite", "count"), [("parser_testfiles.json", 38), ("parse_corpus.json", 615)])
def test_trees_and_instructions_are_buildkits(cases: Cases, score: Score, suite: str, count: int) -> None:
    every = cases(suite)
    assert len(every) == count
    misses = [miss for case in every for miss in _misses(case, case.get("expected") or case["oracle"])[:1]]
    score(suite, misses, count)


def test_the_parsers_own_test_files_print_as_expected(cases: Cases) -> None:
    for case in cases("parser_testfiles.json"):
        if case.get("dump") is not None:
            assert parse(case["dockerfile"]).dump() == case["dump"].rstrip("\n")
        elif case["error"]:
            with pytest.raises(DockerfileError):
                parse(case["dockerfile"])
        else:
            nodes = parse(case["dockerfile"]).nodes
            assert [[node.start_line, node.end_line] for node in nodes] == case["lines"]
