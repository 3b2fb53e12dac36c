"""BuildKit's cases of build checks, as a build finds them and as a lint request does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dockmagic.dockerfile import BaseImage, Ignore, Report, check
from tests.dockerfile.conftest import Score

Cases = Callable[[str], list[Any]]
BUILD_ARG = "build-arg:"


def _report(case: dict[str, Any], *, all_stages: bool) -> Report:
    attributes = case["attrs"] or {}
    arguments = {key.removeprefix(BUILD_ARG): attributes[key] for key in attributes if key.startswith(BUILD_ARG)}
    ignore = Ignore.of_file(case["dockerignore"]) if "dockerignore" in case else None
    return check(
        case["dockerfile"],
        build_args=arguments,
        ignore=ignore,
        images=lambda name, platform: BaseImage(env=("PATH=/bin",)),
        all_stages=all_stages,
        own_rules=False,
    )


def _warnings(report: Report, *, lines: bool) -> list[tuple[Any, ...]]:
    return sorted(
        (found.line if lines else 0, found.rule, found.detail, found.description, found.url, found.level)
        for found in report.warnings
    )


def _wanted(case: dict[str, Any], key: str, *, lines: bool) -> list[tuple[Any, ...]]:
    names = ("RuleName", "Detail", "Description", "URL", "Level")
    return sorted((found["Line"] if lines else 0, *(found[name] for name in names)) for found in case[key] or [])


def _misses(case: dict[str, Any]) -> list[str]:
    misses = []
    build = _report(case, all_stages=False)
    if _warnings(build, lines=True) != _wanted(case, "warnings", lines=True):
        misses.append(f"build: {build.warnings}")
    # Where a lint request's warnings differ from a build's, BuildKit's own test does not look at their lines; in one
    # case they are not the file's.
    own = "lint_warnings" in case
    lint = _report(case, all_stages=True)
    wanted = _wanted(case, "lint_warnings" if own else "warnings", lines=not own)
    if _warnings(lint, lines=not own) != wanted:
        misses.append(f"lint: {lint.warnings}")
    # A file that the context has not is the build's error, which no check can know.
    if case["stream_error_regexp"] is None:
        error = (str(build.error), build.error.line) if build.error else ("", 0)
        if error != (case["build_error"], case["build_error_line"]):
            misses.append(f"error: {error}")
    return [f"{case['dockerfile']}{miss}" for miss in misses]


def test_lint(cases: Cases, score: Score) -> None:
    every = cases("lint.jsonl")
    misses = [miss for case in every for miss in _misses(case)[:1]]
    score("lint.jsonl", misses, len(every))
    assert len(every) == 87
