"""Images: list, inspect, history, tag, delete, save and load, import, commit, pull, push, prune."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator

import docker
import pytest
from docker.errors import ImageNotFound

from tests.engine.conftest import IMAGE, Boxes
from tests.engine.test_archive import tar_of
from tests.engine.test_containers import refused


@pytest.fixture
def build(api: docker.APIClient, box: Boxes) -> Iterator[object]:
    """``build("RUN …")`` on busybox: the id of an image that goes with the test."""
    made: list[str] = []

    def make(text: str, base: str = IMAGE, **options: object) -> str:
        out = api.build(fileobj=io.BytesIO(f"FROM {base}\n{text}\n".encode()), decode=True, **options)
        messages = list(out)
        errors = [message["error"] for message in messages if "error" in message]
        assert not errors, errors
        id = next(message["aux"]["ID"] for message in messages if "aux" in message)
        made.append(id)
        return str(id)

    yield make
    box.remove_all()
    for id in reversed(made):
        for image in api.images(all=True):
            if image["Id"] == id:
                api.remove_image(id, force=True)


def names(api, **options) -> set[str]:  # type: ignore[no-untyped-def]
    return {tag for image in api.images(**options) for tag in image["RepoTags"] or []}


# --- list and inspect ---


def test_list_shape(api) -> None:
    image = next(one for one in api.images() if f"{IMAGE}:latest" in (one["RepoTags"] or []))
    assert image["Id"].startswith("sha256:")
    assert image["Size"] > 0
    assert isinstance(image["Created"], int)
    assert {"ParentId", "RepoDigests", "SharedSize", "Labels", "Containers"} <= set(image)


def test_list_by_name(api) -> None:
    assert names(api, name=IMAGE) == {f"{IMAGE}:latest"}
    assert names(api, name=f"{IMAGE}:latest") == {f"{IMAGE}:latest"}
    assert names(api, name="dm-no-such-image") == set()


def test_list_filters(api, build) -> None:
    id = build("LABEL dm=one\nRUN echo x > /x", tag="dm-eng-labelled")
    assert {one["Id"] for one in api.images(filters={"label": "dm=one"})} == {id}
    assert {one["Id"] for one in api.images(filters={"label": "dm=two"})} == set()
    assert names(api, filters={"reference": "dm-eng-lab*"}) == {"dm-eng-labelled:latest"}
    assert f"{IMAGE}:latest" not in names(api, filters={"since": IMAGE})
    assert f"{IMAGE}:latest" in names(api, filters={"before": "dm-eng-labelled"})
    refused(lambda: api.images(filters={"odd": "x"}), 400)


def test_dangling(api, build) -> None:
    id = build("RUN echo dangling > /x")
    assert id in {one["Id"] for one in api.images(filters={"dangling": True})}
    assert id not in {one["Id"] for one in api.images(filters={"dangling": False})}


def test_inspect(api, build) -> None:
    id = build(
        'ENV A=1\nWORKDIR /w\nUSER nobody\nEXPOSE 80\nVOLUME /v\nLABEL k=v\nENTRYPOINT ["a"]\nCMD ["b"]',
        tag="dm-eng-inspect",
    )
    shown = api.inspect_image("dm-eng-inspect")
    assert (shown["Id"], shown["RepoTags"], shown["Os"]) == (id, ["dm-eng-inspect:latest"], "linux")
    config = shown["Config"]
    assert "A=1" in config["Env"]
    assert (config["WorkingDir"], config["User"], config["Labels"]["k"]) == ("/w", "nobody", "v")
    assert (config["Entrypoint"], config["Cmd"]) == (["a"], ["b"])
    assert (list(config["ExposedPorts"]), list(config["Volumes"])) == (["80/tcp"], ["/v"])
    assert shown["RootFS"]["Type"] == "layers"
    assert shown["Created"].startswith("20")


def test_inspect_by_id_and_prefix(api) -> None:
    id = api.inspect_image(IMAGE)["Id"]
    for reference in (
        id,
        id.removeprefix("sha256:"),
        id.removeprefix("sha256:")[:12],
        f"{IMAGE}:latest",
        f"docker.io/library/{IMAGE}",
    ):
        assert api.inspect_image(reference)["Id"] == id


def test_inspect_of_nothing(api) -> None:
    with pytest.raises(ImageNotFound, match="No such image: dm-no-such-image:latest"):
        api.inspect_image("dm-no-such-image")


def test_history(api, build) -> None:
    build("RUN echo x > /x\nLABEL a=b", tag="dm-eng-history")
    steps = api.history("dm-eng-history")
    assert steps[0]["Tags"] == ["dm-eng-history:latest"]
    assert "LABEL" in steps[0]["CreatedBy"]
    assert steps[0]["Size"] == 0
    assert "echo x > /x" in steps[1]["CreatedBy"]
    assert steps[1]["Size"] == 2
    assert {"Id", "Created", "Comment"} <= set(steps[0])


# --- tag and delete ---


def test_tag_and_untag(api) -> None:
    assert api.tag(IMAGE, "dm-eng-tag", "one")
    assert "dm-eng-tag:one" in names(api)
    assert api.remove_image("dm-eng-tag:one") == [{"Untagged": "dm-eng-tag:one"}]
    assert "dm-eng-tag:one" not in names(api)


def test_tag_of_nothing_and_to_nothing(api) -> None:
    refused(lambda: api.tag("dm-no-such-image", "x"), 404, "No such image")
    refused(lambda: api.tag(IMAGE, "UPPER"), 400, "invalid reference format")


def test_delete_removes_layers(api, build) -> None:
    id = build("RUN echo deleted > /x", tag="dm-eng-delete")
    done = api.remove_image("dm-eng-delete")
    assert {"Untagged": "dm-eng-delete:latest"} in done
    assert {"Deleted": id} in done
    with pytest.raises(ImageNotFound):
        api.inspect_image(id)


def test_delete_of_nothing(api) -> None:
    refused(lambda: api.remove_image("dm-no-such-image"), 404, "No such image: dm-no-such-image:latest")


def test_delete_of_what_containers_use(api, box, build) -> None:
    id = build("RUN echo used > /x", tag="dm-eng-used")
    stopped = box.create(image="dm-eng-used")
    message = refused(lambda: api.remove_image("dm-eng-used"), 409, "conflict: unable to remove repository reference")
    assert stopped[:12] in message
    assert "must force" in message
    running = box.loop(image="dm-eng-used")
    assert running[:12] in refused(lambda: api.remove_image(id, force=True), 409, "cannot be forced")


def test_delete_by_id_with_several_names(api, build) -> None:
    id = build("RUN echo several > /x", tag="dm-eng-several")
    api.tag(id, "dm-eng-several-too")
    refused(lambda: api.remove_image(id), 409, "image is referenced in multiple repositories")
    api.remove_image(id, force=True)
    refused(lambda: api.inspect_image(id), 404)


def test_prune(api, build) -> None:
    id = build("LABEL dm-prune=\nRUN echo prune > /x")
    answer = api.prune_images(filters={"label": ["dm-prune"]})
    assert {"Deleted": id} in answer["ImagesDeleted"]
    assert answer["SpaceReclaimed"] >= 0


# --- save, load, import ---


def test_save_and_load(api, build) -> None:
    id = build("RUN echo saved > /saved", tag="dm-eng-saved")
    data = b"".join(api.get_image("dm-eng-saved"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest[0]["RepoTags"] == ["dm-eng-saved:latest"]
    api.remove_image("dm-eng-saved")
    told = list(api.load_image(data))
    assert any("Loaded image: dm-eng-saved:latest" in str(message.get("stream")) for message in told)
    assert api.inspect_image("dm-eng-saved")["Id"] == id


def test_save_of_several(api, raw, build) -> None:
    build("RUN echo one > /x", tag="dm-eng-save-one")
    build("RUN echo two > /x", tag="dm-eng-save-two")
    body = raw().ask("GET", "/v1.41/images/get?names=dm-eng-save-one&names=dm-eng-save-two").body
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert sorted(tag for image in manifest for tag in image["RepoTags"]) == [
        "dm-eng-save-one:latest",
        "dm-eng-save-two:latest",
    ]


def test_save_of_nothing(api) -> None:
    refused(lambda: b"".join(api.get_image("dm-no-such-image")), 404)


def test_load_of_what_is_no_archive(client) -> None:
    """The stream has begun by then: docker-py's high level finds the error in it."""
    with pytest.raises(docker.errors.ImageLoadError):
        client.images.load(b"nonsense" * 200)


def test_import(api, box) -> None:
    data = tar_of(("hello", b"imported"))
    api.import_image_from_data(data, repository="dm-eng-import", tag="v1", changes=['CMD ["/hello"]', "ENV A=1"])
    try:
        shown = api.inspect_image("dm-eng-import:v1")
        assert (shown["Config"]["Cmd"], shown["Config"]["Env"]) == (["/hello"], ["A=1"])
        assert len(shown["RootFS"]["Layers"]) == 1
        id = box.create(image="dm-eng-import:v1")
        with tarfile.open(fileobj=io.BytesIO(b"".join(api.export(id)))) as archive:
            assert archive.extractfile("hello").read() == b"imported"  # type: ignore[union-attr]
    finally:
        box.remove_all()
        api.remove_image("dm-eng-import:v1")


def test_an_import_of_an_exported_container_runs(api, box) -> None:
    id = box.start(["sh", "-c", "echo made > /made"])
    api.wait(id)
    data = b"".join(api.export(id))
    api.import_image_from_data(data, repository="dm-eng-reimport")
    try:
        assert box.run(["cat", "/made"], image="dm-eng-reimport")[1] == b"made\n"
    finally:
        box.remove_all()
        api.remove_image("dm-eng-reimport")


# --- commit ---


def test_commit(api, box) -> None:
    id = box.start(["sh", "-c", "echo committed > /file"], environment={"A": "1"})
    api.wait(id)
    made = api.commit(
        id, "dm-eng-commit", "v1", message="said so", author="me", changes=['CMD ["cat", "/file"]', "ENV B=2"]
    )
    try:
        shown = api.inspect_image("dm-eng-commit:v1")
        assert (shown["Id"], shown["Author"], shown["Comment"]) == (made["Id"], "me", "said so")
        assert shown["Config"]["Cmd"] == ["cat", "/file"]
        assert {"A=1", "B=2"} <= set(shown["Config"]["Env"])
        assert shown["Parent"] == api.inspect_image(IMAGE)["Id"]
        assert box.run(None, image="dm-eng-commit:v1")[1] == b"committed\n"
    finally:
        box.remove_all()
        api.remove_image("dm-eng-commit:v1")


def test_commit_of_a_running_container(api, box) -> None:
    id = box.loop()
    api.exec_start(api.exec_create(id, ["touch", "/live"]))
    made = api.commit(id)
    try:
        assert box.run(["ls", "/live"], image=made["Id"])[0] == 0
        assert api.inspect_container(id)["State"]["Running"]
    finally:
        box.remove_all()
        api.remove_image(made["Id"])


def test_commit_refusals(api, box) -> None:
    refused(lambda: api.commit("dm-eng-nothing"), 404, "No such container")
    id = box.create()
    refused(lambda: api.commit(id, "dm-eng-x", changes=["RUN x"]), 400, "run is not a valid change command")


# --- registries ---


def test_push_and_pull(api, registry, build) -> None:
    name = f"{registry}/dm-eng-push"
    id = build("RUN echo pushed > /x", tag=name)
    pushed = list(api.push(name, tag="latest", stream=True, decode=True))
    assert not [message for message in pushed if "error" in message]
    assert any("digest: sha256:" in str(message.get("status")) for message in pushed)
    api.remove_image(name)
    pulled = list(api.pull(name, tag="latest", stream=True, decode=True))
    assert any("Downloaded newer image" in str(message.get("status")) for message in pulled)
    assert api.inspect_image(name)["Id"] == id
    assert any(digest.startswith(f"{name}@sha256:") for digest in api.inspect_image(name)["RepoDigests"])
    again = list(api.pull(name, tag="latest", stream=True, decode=True))
    assert any("Image is up to date" in str(message.get("status")) for message in again)


def test_pull_of_nothing(api, registry) -> None:
    refused(lambda: api.pull(f"{registry}/dm-no-such-image", tag="latest"), 404, "not found")


def test_pull_of_an_invalid_name(api) -> None:
    refused(lambda: api.pull("UPPER", tag="x"), 400, "invalid reference format")


def test_pull_from_nowhere(api) -> None:
    refused(lambda: api.pull("127.0.0.1:9/x", tag="latest"), 500, "connection refused")


def test_push_of_nothing(api, registry) -> None:
    said = list(api.push(f"{registry}/dm-no-such-image", stream=True, decode=True))
    assert "does not exist locally" in str(said[-1]["error"])


def test_distribution(api, registry) -> None:
    shown = api.inspect_distribution(f"{registry}/library/alpine:latest")
    assert shown["Descriptor"]["digest"].startswith("sha256:")
    assert shown["Platforms"][0]["os"] == "linux"


def test_a_stand_in_says_what_it_is(api, ours) -> None:
    told = list(api.pull("hello-world", tag="latest", stream=True, decode=True))
    assert any("made on the spot" in str(message.get("status")) for message in told)
