"""Fields that come and go with the version of the API that is asked for (moby's API history)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import docker
import pytest

from tests.engine.conftest import IMAGE, Raw
from tests.engine.test_containers import refused

pytestmark = pytest.mark.usefixtures("ours")
Ask = Callable[[str, str], Any]


@pytest.fixture
def at(raw: Callable[[], Raw]) -> Ask:
    """The answer to a GET of a path, asked in a version."""

    def ask(version: str, path: str) -> Any:
        reply = raw().ask("GET", f"/v{version}{path}")
        assert reply.status == 200, reply.body
        return reply.json()

    return ask


def test_the_newest_is_announced(api: docker.APIClient, at: Ask) -> None:
    assert api.version()["ApiVersion"] == "1.51"
    assert at("1.51", "/version")["MinAPIVersion"] == "1.24"


@pytest.mark.parametrize(
    ("field", "until"), [("VirtualSize", "1.43"), ("Container", "1.44"), ("ContainerConfig", "1.44")]
)
def test_fields_that_image_inspect_lost(at: Ask, field: str, until: str) -> None:
    after = f"1.{int(until[2:]) + 1}"
    assert field in at(until, f"/images/{IMAGE}/json")
    assert field not in at(after, f"/images/{IMAGE}/json")


def test_an_images_config_is_no_containers(at: Ask) -> None:
    assert at("1.49", f"/images/{IMAGE}/json")["Config"]["Hostname"] == ""
    config = at("1.50", f"/images/{IMAGE}/json")["Config"]
    assert not {"Hostname", "Domainname", "AttachStdin", "Tty", "OpenStdin", "StdinOnce", "Image"} & set(config)
    assert {"Cmd", "Env", "WorkingDir"} <= set(config)


def test_lists_count_an_images_containers(at: Ask, box: Any) -> None:
    box.create()
    path = f"/images/json?filters={quote(json.dumps({'reference': [IMAGE]}))}"
    assert at("1.50", path)[0]["Containers"] == -1
    assert at("1.51", path)[0]["Containers"] >= 1
    assert "VirtualSize" in at("1.43", path)[0]
    assert "VirtualSize" not in at("1.44", path)[0]


def test_what_info_lost_and_won(at: Ask) -> None:
    old, middle, new = (at(version, "/info") for version in ("1.43", "1.48", "1.51"))
    assert "CDISpecDirs" not in old
    assert middle["CDISpecDirs"] == []
    assert middle["RuncCommit"] == {"ID": "", "Expected": ""}
    assert new["RuncCommit"] == {"ID": ""}
    assert "BridgeNfIptables" in middle
    assert "BridgeNfIptables" not in new
    assert "AllowNondistributableArtifactsCIDRs" in middle["RegistryConfig"]
    assert "AllowNondistributableArtifactsCIDRs" not in new["RegistryConfig"]
    assert "FirewallBackend" not in middle
    if "dockmagic.tier=namespaces" in new["Labels"]:
        assert new["FirewallBackend"]["Driver"] == "nftables"


def test_aliases_had_the_short_id(api: docker.APIClient, at: Ask, box: Any) -> None:
    made = api.create_network("dm-eng-aliases")
    try:
        networking = api.create_networking_config({"dm-eng-aliases": api.create_endpoint_config(aliases=["other"])})
        id = box.loop(networking_config=networking, host={"network_mode": "dm-eng-aliases"})
        shown = {
            v: at(v, f"/containers/{id}/json")["NetworkSettings"]["Networks"]["dm-eng-aliases"]
            for v in ("1.44", "1.45")
        }
        assert shown["1.44"]["Aliases"] == ["other", id[:12]]
        assert shown["1.45"]["Aliases"] == ["other"]
        assert id[:12] in shown["1.45"]["DNSNames"]
        assert shown["1.45"]["GwPriority"] == 0
    finally:
        box.remove_all()
        api.remove_network(made["Id"])


def test_annotations_in_the_list(api: docker.APIClient, at: Ask, box: Any) -> None:
    host = {**api.create_host_config(), "Annotations": {"who": "me"}}
    id = api.create_container_from_config({"Image": IMAGE, "Cmd": ["true"], "HostConfig": host})["Id"]
    try:
        found = {v: next(c for c in at(v, "/containers/json?all=1") if c["Id"] == id) for v in ("1.45", "1.46")}
        assert found["1.46"]["HostConfig"]["Annotations"] == {"who": "me"}
        assert "Annotations" not in found["1.45"]["HostConfig"]
    finally:
        api.remove_container(id)


@pytest.mark.parametrize("call", ["json", "history", "get"])
def test_a_platform_that_the_image_is_not_for(raw: Callable[[], Raw], call: str) -> None:
    def ask(platform: dict[str, str]) -> Any:
        return raw().ask("GET", f"/v1.51/images/{IMAGE}/{call}?platform={quote(json.dumps(platform))}")

    odd = ask({"os": "plan9", "architecture": "mips"})
    assert (odd.status, "does not match the specified platform" in odd.json()["message"]) == (404, True)
    own = raw().ask("GET", f"/v1.51/images/{IMAGE}/json").json()
    assert ask({"os": own["Os"], "architecture": own["Architecture"]}).status == 200
    assert ask({"os": "linux"}).status == 400


def test_manifests_and_platform_exclude_each_other(raw: Callable[[], Raw]) -> None:
    path = (
        f"/v1.51/images/{IMAGE}/json?manifests=1&platform={quote(json.dumps({'os': 'linux', 'architecture': 'amd64'}))}"
    )
    assert "conflicting options" in raw().ask("GET", path).json()["message"]


def test_networks_have_ipv4(api: docker.APIClient) -> None:
    asked = {"Name": "dm-eng-six", "EnableIPv4": False}
    call = lambda: api._result(api._post_json(api._url("/networks/create"), data=asked))  # noqa: E731
    refused(call, 400, "IPv4 can only be disabled if experimental features are enabled")


def test_memory_was_shareable(at: Ask, api: docker.APIClient, raw: Callable[[], Raw]) -> None:
    for version, mode in (("1.39", "shareable"), ("1.40", "private")):
        made = raw().ask("POST", f"/v{version}/containers/create", {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {}})
        id = made.json()["Id"]
        assert at(version, f"/containers/{id}/json")["HostConfig"]["IpcMode"] == mode
        api.remove_container(id)


def test_how_an_image_was_made(api: docker.APIClient, at: Ask) -> None:
    """What the classic builder kept of a step's container: its arguments, shell and command."""
    text = f"FROM {IMAGE}\nARG one\nVOLUME /data\nRUN echo $one > /made\n"
    built = api.build(fileobj=io.BytesIO(text.encode()), tag="dm-eng-made", buildargs={"one": "1"}, rm=True)
    try:
        assert b"Successfully built" in b"".join(built)
        kept = at("1.44", "/images/dm-eng-made/json")["ContainerConfig"]
        assert kept["Cmd"] == ["|1", "one=1", "/bin/sh", "-c", "echo $one > /made"]
        assert kept["Volumes"] == {"/data": {}}
    finally:
        api.remove_image("dm-eng-made")


def test_an_image_as_a_mount(api: docker.APIClient, box: Any, raw: Callable[[], Raw]) -> None:
    def make(**mount: Any) -> Any:
        host = {"Mounts": [{"Type": "image", "Source": "alpine", "Target": "/other", **mount}]}
        asked = {"Image": IMAGE, "Cmd": ["sh", "-c", "cat /other/alpine-release; touch /other/x"], "HostConfig": host}
        return raw().ask("POST", "/v1.51/containers/create", asked)

    id = make(ImageOptions={"Subpath": "etc"}).json()["Id"]
    try:
        (point,) = api.inspect_container(id)["Mounts"]
        assert (point["Type"], point["Source"], point["RW"]) == ("image", "alpine", False)
        for _ in range(2):
            api.start(id)
            assert api.wait(id)["StatusCode"] == 1
        log = api.logs(id)
        assert log.count(b"Read-only file system") == 2
        assert log.count(b"3.") == 2
    finally:
        api.remove_container(id)
    missing = make(Source="dm-eng-nothing")
    assert (missing.status, "No such image" in missing.json()["message"]) == (404, True)
