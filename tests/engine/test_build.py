"""POST /build: the classic stream, BuildKit's trace, failures."""

from __future__ import annotations

import base64
import io
import json

import docker
import pytest

from dockmagic.trace import decode
from tests.engine.conftest import IMAGE, Raw
from tests.engine.test_archive import tar_of
from tests.engine.test_containers import refused


def build(api, text: str, *files: tuple[str, bytes], **options) -> list[dict]:  # type: ignore[no-untyped-def,type-arg]
    context = tar_of(("Dockerfile", text.encode()), *files)
    return list(api.build(fileobj=io.BytesIO(context), custom_context=True, decode=True, rm=True, **options))


def posted(connection: Raw, query: str, body: bytes) -> list[dict]:  # type: ignore[type-arg]
    head = f"POST /v1.41/build?{query} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n"
    connection.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return [json.loads(line) for line in connection.reply().body.splitlines() if line.strip()]


def text_of(messages: list[dict]) -> str:  # type: ignore[type-arg]
    return "".join(message.get("stream", "") for message in messages)


@pytest.fixture
def clean(api: docker.APIClient):  # type: ignore[no-untyped-def]
    yield
    for name in ("dm-eng-built", "dm-eng-built:v2"):
        try:
            api.remove_image(name, force=True)
        except docker.errors.ImageNotFound:
            continue


def test_the_classic_stream(api, box, clean) -> None:
    text = (
        f'FROM {IMAGE}\nENV A=1\nRUN echo out; echo made > /made\nCOPY file /copied\nCMD ["cat", "/made", "/copied"]\n'
    )
    said = text_of(build(api, text, ("file", b"content\n"), tag="dm-eng-built", nocache=True))
    lines = said.splitlines()
    for number, step in enumerate(text.splitlines(), 1):
        assert f"Step {number}/5 : {step}" in lines
    assert "out" in lines
    assert any(line.startswith(" ---> Running in ") for line in lines)
    assert lines[-2].startswith("Successfully built ")
    assert lines[-1] == "Successfully tagged dm-eng-built:latest"
    assert lines[-2].split()[-1] in api.inspect_image("dm-eng-built")["Id"]
    assert box.run(None, image="dm-eng-built")[1] == b"made\ncontent\n"
    box.remove_all()


def test_a_second_build_is_cached_and_gives_the_same(api, clean) -> None:
    text = f"FROM {IMAGE}\nRUN echo cached > /x\n"
    build(api, text, tag="dm-eng-built")
    first = api.inspect_image("dm-eng-built")["Id"]
    assert " ---> Using cache\n" in text_of(build(api, text, tag="dm-eng-built"))
    assert api.inspect_image("dm-eng-built")["Id"] == first


def test_arguments_target_labels_and_name(api, clean) -> None:
    text = f"FROM {IMAGE} AS one\nARG WHO=nobody\nRUN echo $WHO > /who\nFROM one AS two\nRUN exit 1\n"
    messages = build(api, text, tag="dm-eng-built:v2", target="one", buildargs={"WHO": "me"}, labels={"l": "1"})
    assert not [message for message in messages if "error" in message]
    assert api.inspect_image("dm-eng-built:v2")["Config"]["Labels"]["l"] == "1"


def test_another_dockerfile(api, clean) -> None:
    context = tar_of(("sub/Other", f"FROM {IMAGE}\nLABEL other=1\n".encode()))
    list(api.build(fileobj=io.BytesIO(context), custom_context=True, dockerfile="sub/Other", tag="dm-eng-built"))
    assert api.inspect_image("dm-eng-built")["Config"]["Labels"] == {"other": "1"}


def test_a_failing_run(api) -> None:
    messages = build(api, f"FROM {IMAGE}\nRUN echo before; exit 3\n")
    assert "before\n" in text_of(messages)
    last = messages[-1]
    assert last["error"] == "The command '/bin/sh -c echo before; exit 3' returned a non-zero code: 3"
    assert last["errorDetail"] == {"code": 3, "message": last["error"]}


def test_an_unknown_instruction(api) -> None:
    refused(lambda: build(api, f"FROM {IMAGE}\nFOO bar\n"), 400, "unknown instruction: FOO")


def test_a_missing_source(api) -> None:
    assert "nope" in build(api, f"FROM {IMAGE}\nCOPY nope /\n")[-1]["error"]


def test_no_dockerfile(api) -> None:
    with pytest.raises(docker.errors.APIError, match="Dockerfile"):
        list(api.build(fileobj=io.BytesIO(tar_of(("x", b""))), custom_context=True, decode=True))


def test_quiet(api, raw) -> None:
    body = tar_of(("Dockerfile", f"FROM {IMAGE}\nRUN echo quiet\n".encode()))
    messages = posted(raw(), "q=1", body)
    assert text_of(messages).startswith("sha256:")


def test_buildkits_trace(raw) -> None:
    body = tar_of(("Dockerfile", f"FROM {IMAGE}\nRUN echo traced\n".encode()))
    messages = posted(raw(), "version=2&nocache=1", body)
    statuses = [decode(base64.b64decode(m["aux"])) for m in messages if m.get("id") == "moby.buildkit.trace"]
    names = {vertex.name for status in statuses for vertex in status.vertexes}
    assert any(name.endswith("RUN echo traced") for name in names)
    assert b"traced\n" in b"".join(entry.msg for status in statuses for entry in status.logs)
    assert next(m["aux"]["ID"] for m in messages if m.get("id") == "moby.image.id").startswith("sha256:")


def test_a_failing_buildkit_build(raw) -> None:
    body = tar_of(("Dockerfile", f"FROM {IMAGE}\nRUN exit 4\n".encode()))
    message = posted(raw(), "version=2", body)[-1]["errorDetail"]["message"]
    assert "/bin/sh -c exit 4" in message
    assert message.endswith("exit code: 4")


def test_prune_of_the_cache(api, ours) -> None:
    build(api, f"FROM {IMAGE}\nRUN echo pruned > /x\n")
    answer = api.prune_builds()
    assert answer["SpaceReclaimed"] >= 0


def test_the_classic_stream_shows_errors_in_red(api, clean) -> None:
    said = build(api, f"FROM {IMAGE}\nRUN echo plain; sleep 0.1; echo bad >&2\n", tag="dm-eng-built", nocache=True)
    told = [message.get("stream") for message in said]
    assert "plain\n" in told
    assert "\x1b[91mbad\n\x1b[0m" in told


def test_a_cache_from_nothing_is_no_cache(api, clean) -> None:
    text = f"FROM {IMAGE}\nRUN echo made > /made\n"
    build(api, text, tag="dm-eng-built")
    assert "Using cache" in text_of(build(api, text, tag="dm-eng-built:v2", cache_from=["dm-eng-built"]))
    assert "Using cache" not in text_of(build(api, text, tag="dm-eng-built:v2", cache_from=["dm-eng-nothing"]))
