"""What a create or a start is refused for before anything is made."""

from __future__ import annotations

import docker
import pytest

from tests.engine.conftest import IMAGE


@pytest.mark.parametrize(
    ("platform", "status", "words"),
    [
        ("foo", 400, '"foo": unknown operating system or architecture: invalid argument'),
        ("linux/s390x", 404, "was found but does not match the specified platform: wanted linux/s390x"),
    ],
)
def test_a_platform_that_the_image_is_not_for(
    client: docker.DockerClient, platform: str, status: int, words: str
) -> None:
    with pytest.raises(docker.errors.APIError) as caught:
        client.api.create_container(IMAGE, ["true"], platform=platform)
    assert caught.value.status_code == status
    assert words in caught.value.explanation


def test_devices_that_nobody_can_give(client: docker.DockerClient) -> None:
    host = client.api.create_host_config(device_requests=[docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])])
    container = client.api.create_container(IMAGE, ["true"], host_config=host)
    try:
        with pytest.raises(docker.errors.APIError, match="could not select device driver"):
            client.api.start(container)
        state = client.api.inspect_container(container)["State"]
        assert (state["Status"], state["ExitCode"]) == ("created", 128)
        assert state["Error"] == 'could not select device driver "" with capabilities: [[gpu]]'
    finally:
        client.api.remove_container(container)
