"""Peers' cases of git references (BuildKit) and of patterns (moby's patternmatcher)."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from dockmagic.dockerfile import DockerfileError, Ignore
from dockmagic.dockerfile.gitref import GitReference, NotGit, read_git_reference
from dockmagic.dockerfile.ignore import matches, matches_or_parent_matches
from tests.dockerfile.conftest import Score

Cases = Callable[[str], list[Any]]


def _reference(ours: GitReference) -> dict[str, Any]:
    return {
        "Remote": ours.remote,
        "ShortName": ours.short_name,
        "Ref": ours.ref,
        "Checksum": ours.checksum,
        "SubDir": ours.subdir,
        "IndistinguishableFromLocal": ours.like_local_path,
        "UnencryptedTCP": ours.unencrypted,
        "KeepGitDir": ours.keep_git_dir,
        "Submodules": ours.submodules,
        "MTime": ours.mtime,
        "FetchByCommit": ours.fetch_by_commit,
    }


def test_gitref_calls(cases: Cases, score: Score) -> None:
    misses = []
    every = cases("gitref_calls.json")
    for case in every:
        found: dict[str, Any] = {"out": None, "error": None, "is_git": True}
        try:
            found["out"] = _reference(read_git_reference(case["ref"]))
        except DockerfileError as error:
            found |= {"error": str(error), "is_git": not isinstance(error, NotGit)}
        if found != {key: case[key] for key in found}:
            misses.append(f"{case}: {found}")
    score("gitref_calls.json", misses, len(every))
    assert len(every) == 45


def _walked(ignore: Ignore, path: str, *, old: bool) -> bool:
    """Asks for each folder on the way, then for the path."""
    folder = posixpath.dirname(path)
    parts = folder.split("/") if folder else []
    steps = ["/".join(parts[: depth + 1]) for depth in range(len(parts))] + [path]
    if old:
        matched = False
        for step in steps:
            matched = ignore.matches_below(step, matched)
        return matched
    results: list[bool] = []
    for step in steps:
        matched, results = ignore.matches_in(step, results)
    return matched


def _match(case: dict[str, Any]) -> Any:
    function, patterns = case["fn"], case["patterns"]
    if function == "New":
        ignore = Ignore.of(patterns)
        return [pattern.text for pattern in ignore.patterns], ignore.exclusions
    if function.startswith("MatchesUsing"):
        return _walked(Ignore.of(patterns), case["path"], old=function == "MatchesUsingParentResult")
    return (matches if function == "Matches" else matches_or_parent_matches)(case["path"], patterns)


def test_patternmatcher(cases: Cases, score: Score) -> None:
    misses = []
    every = cases("patternmatcher.jsonl")
    for case in every:
        found, error = None, None
        try:
            found = _match(case)
        except DockerfileError as raised:
            error = str(raised)
        wanted = (case.get("cleaned"), case.get("exclusions")) if case["fn"] == "New" else case["match"]
        if error != case["error"] or (error is None and found != wanted):
            misses.append(f"{case}: {found}, {error}")
    score("patternmatcher.jsonl", misses, len(every))
    assert len(every) == 370
