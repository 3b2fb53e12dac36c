"""POST /build?version=2&outputs=…: what becomes of the result, on each engine."""

from __future__ import annotations

import json
from urllib.parse import quote

import docker
import pytest

from tests.engine.conftest import IMAGE, Raw
from tests.engine.test_archive import tar_of
from tests.engine.test_build import posted

BODY = tar_of(("Dockerfile", f"FROM {IMAGE}\nLABEL outputs=1\n".encode()))


def built(connection: Raw, outputs: object) -> list[dict]:  # type: ignore[type-arg]
    messages = posted(connection, f"version=2&outputs={quote(json.dumps(outputs))}", BODY)
    return [message for message in messages if message.get("id") != "moby.buildkit.trace"]


@pytest.mark.parametrize("kind", ["moby", ""])
def test_the_image_or_nothing(raw, api: docker.APIClient, kind: str) -> None:  # type: ignore[no-untyped-def]
    said = built(raw(), [{"Type": kind, "Attrs": {"name": "dm-eng-out"}}])
    if not kind:
        assert said == []
        return
    assert [message["id"] for message in said] == ["moby.image.id"]
    assert api.inspect_image("dm-eng-out")["Id"] == said[0]["aux"]["ID"]
    api.remove_image("dm-eng-out", force=True)


def test_the_cache_only(raw) -> None:  # type: ignore[no-untyped-def]
    assert built(raw(), [{"Type": "cacheonly"}]) == []


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([{"Type": "bogus"}], 'exporter "bogus" could not be found'),
        ([{"Type": "moby"}, {"Type": "moby"}], "multiple outputs not supported"),
        ({}, "json: cannot unmarshal object into Go value of type []types.ImageBuildOutput"),
        (["moby"], "json: cannot unmarshal string into Go value of type types.ImageBuildOutput"),
    ],
)
def test_what_can_not_be(raw, outputs: object, message: str) -> None:  # type: ignore[no-untyped-def]
    (said,) = built(raw(), outputs)
    assert said["message"].endswith(message)
