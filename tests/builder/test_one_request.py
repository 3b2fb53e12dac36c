"""A build in one multipart request, through the engine's API."""

from __future__ import annotations

import json

import docker
import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.builder.cases import context_tar
from tests.support import images

DOCKERFILE = """\
FROM alpine
RUN --mount=type=secret,id=token [ "$(cat /run/secrets/token)" = hidden ]
COPY --from=other f /f
RUN [ "$(cat /f)" = named ]
COPY a /a
"""


@pytest.fixture
def client(embedded: str) -> docker.DockerClient:
    client = docker.DockerClient(base_url=embedded, timeout=60)
    client.images.load(images.alpine())
    return client


def file(path: str, text: str) -> dict[str, str]:
    return {"path": path, "type": "file", "mode": "0644", "text": text}


def test_secrets_and_named_contexts_reach_the_build(client: docker.DockerClient) -> None:
    fields = [
        ("secret", ("token", b"hidden")),
        ("named-context", ("other", context_tar([file("f", "named")]).getvalue())),
        ("context", ("", context_tar([file("Dockerfile", DOCKERFILE), file("a", "1")]).getvalue())),
    ]
    body, content_type = encode_multipart_formdata(fields)
    answer = client.api._post(
        client.api._url("/build"), data=body, headers={"Content-Type": content_type}, params={"version": "2"}
    )
    messages = [json.loads(line) for line in answer.content.splitlines() if line.strip()]
    assert [message["error"] for message in messages if "error" in message] == []
    assert any(message.get("id") == "moby.image.id" for message in messages)
