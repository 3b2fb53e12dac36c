"""References against distribution/reference's own test cases, and properties that hold for every reference."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic.errors import InvalidParameter
from dockmagic.images import reference
from dockmagic.images.reference import Reference

CONFORMANCE = Path(
    os.environ.get("DOCKMAGIC_CONFORMANCE") or Path(__file__).resolve().parents[3] / "shared" / "conformance"
)
CASES = CONFORMANCE / "reference.jsonl"

PARSERS: dict[str, Callable[[str], Reference]] = {
    "Parse": reference.parse_bare,
    "WithName": reference.parse_name,
    "ParseNormalizedNamed": reference.parse_normalized,
    "ParseNamed": reference.parse_canonical,
    "ParseDockerRef": reference.parse_docker,
    "ParseAnyReference": reference.parse_any,
}


def _shape(found: Reference) -> dict[str, str]:
    shape = {"string": str(found), "familiar": found.familiar}
    if found.path:
        shape |= {"domain": found.domain, "path": found.path, "name": found.name}
    if found.tag:
        shape["tag"] = found.tag
    if found.digest:
        shape["digest"] = found.digest
    return shape


def _regexp(case: dict[str, Any]) -> dict[str, Any]:
    if case["test"].startswith("TestFullNameRegexp"):
        match = reference.NAME.fullmatch(case["in"])
    else:
        match = reference.REFERENCE.fullmatch(case["in"])
    wants_groups = case["out"]["subs"] is not None
    return {
        "match": match is not None,
        "subs": [group or "" for group in match.groups()] if match and wants_groups else None,
    }


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    try:
        if case["fn"] == "regexp":
            return _regexp(case)
        if case["fn"] == "FamiliarMatch":
            return {"match": reference.parse_any(case["in"]).matches(case["pattern"])}
        return _shape(PARSERS[case["fn"]](case["in"]))
    except InvalidParameter as error:
        return {"error": str(error)}


@pytest.mark.skipif(not CASES.exists(), reason="the shared conformance data is not here")
def test_conformance() -> None:
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    wrong = [(case, answer) for case in cases if (answer := _answer(case)) != case["out"]]
    print(f"reference.jsonl: {len(cases) - len(wrong)} of {len(cases)}")
    assert wrong == []


def test_what_a_person_types_becomes_complete() -> None:
    found = Reference.parse("alpine")
    assert (found.domain, found.path, found.tag, found.digest) == ("docker.io", "library/alpine", "latest", "")
    assert found.name == "docker.io/library/alpine"
    assert found.familiar == "alpine:latest"
    assert found.familiar_name == "alpine"
    assert str(found) == "docker.io/library/alpine:latest"


def test_a_digest_needs_no_tag() -> None:
    digest = "sha256:" + "a" * 64
    assert Reference.parse(f"alpine@{digest}").tag == ""
    assert Reference.parse(f"alpine@{digest}").familiar == f"alpine@{digest}"
    assert Reference.parse(f"alpine:3@{digest}").familiar == f"alpine:3@{digest}"


def test_ports_are_not_tags() -> None:
    assert Reference.parse("localhost:5000/a/b").domain == "localhost:5000"
    assert Reference.parse("localhost:5000").path == "library/localhost"


@pytest.mark.parametrize("tag", ["", "-x", "a" * 129, "a/b", "é"])
def test_bad_tags(tag: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid tag format"):
        Reference.parse("alpine").with_tag(tag)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a*", "alpine", True),
        ("*", "me/alpine", False),
        ("a[!-z]pine", "alpine", True),
        ("a[^l]pine", "alpine", False),
        ("a[z-a]pine", "alpine", False),
        (r"alp\ine", "alpine", True),
        ("alpine:3.?", "alpine:3.9", True),
    ],
)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    assert Reference.parse(text).matches(pattern) is expected


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "[a-", "[-x]", "a\\"])
def test_malformed_patterns(pattern: str) -> None:
    with pytest.raises(InvalidParameter, match="syntax error in pattern"):
        Reference.parse("alpine").matches(pattern)


@given(st.from_regex(reference.REFERENCE, fullmatch=True))
def test_the_familiar_form_means_the_same(text: str) -> None:
    try:
        found = Reference.parse(text)
    except InvalidParameter:
        return
    assert Reference.parse(found.familiar) == found
    assert Reference.parse(str(found)) == found


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_one_clear_error(text: str) -> None:
    try:
        found = Reference.parse(text)
    except InvalidParameter as error:
        assert str(error)
    else:
        assert found.path
