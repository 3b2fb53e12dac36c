"""version, info, df, events, what there is no swarm for."""

from __future__ import annotations

import threading
import time

import pytest

from tests.engine.conftest import IMAGE
from tests.engine.test_containers import refused
from tests.engine.test_life import until


def test_version(api) -> None:
    shown = api.version()
    for name in (
        "Version",
        "ApiVersion",
        "MinAPIVersion",
        "GitCommit",
        "GoVersion",
        "Os",
        "Arch",
        "KernelVersion",
        "BuildTime",
    ):
        assert name in shown
    assert (shown["Os"], shown["Components"][0]["Name"]) == ("linux", "Engine")


def test_info(api, box) -> None:
    box.loop()
    shown = api.info()
    assert shown["Containers"] >= 1
    assert shown["ContainersRunning"] >= 1
    assert shown["Images"] >= 1
    assert (shown["OSType"], shown["Swarm"]["LocalNodeState"]) == ("linux", "inactive")
    for name in (
        "ID", "Driver", "Plugins", "NCPU", "MemTotal", "DockerRootDir", "Name", "ServerVersion", "Runtimes",
        "SecurityOptions", "RegistryConfig", "KernelVersion", "OperatingSystem", "Architecture", "LoggingDriver",
        "IndexServerAddress",
    ):  # fmt: skip
        assert name in shown


def test_info_names_the_tier(api, ours) -> None:
    assert any(label.startswith("dockmagic.tier=") for label in api.info()["Labels"])


def test_df(api, box) -> None:
    id = box.create()
    shown = api.df()
    assert any(IMAGE in str(one["RepoTags"]) for one in shown["Images"])
    assert any(one["Id"] == id for one in shown["Containers"])
    assert shown["LayersSize"] > 0
    assert set(shown) >= {"Images", "Containers", "Volumes", "BuildCache"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/services"),
        ("GET", "/nodes"),
        ("GET", "/secrets"),
        ("GET", "/configs"),
        ("GET", "/tasks"),
        ("GET", "/swarm"),
    ],
)
def test_what_needs_a_swarm(raw, method: str, path: str) -> None:
    reply = raw().ask(method, f"/v1.41{path}")
    assert reply.status == 503
    assert "This node is not a swarm manager" in reply.json()["message"]


def test_leaving_no_swarm(raw) -> None:
    reply = raw().ask("POST", "/v1.41/swarm/leave")
    assert (reply.status, reply.json()) == (503, {"message": "This node is not part of a swarm"})


def test_plugins(api) -> None:
    assert api.plugins() == []
    refused(lambda: api.inspect_plugin("odd"), 404, "odd")


# --- events ---


def told(api, since: float, **filters) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    return [
        (one["Type"], one["Action"])
        for one in api.events(since=since, until=time.time() + 0.1, decode=True, filters=filters)
    ]


def test_a_containers_life_is_told(api, box) -> None:
    since = time.time() - 0.5
    id = box.start(["true"], host={"network_mode": "none"})
    api.wait(id)
    api.remove_container(id)
    until(lambda: ("container", "destroy") in told(api, since, container=id))
    actions = [action for kind, action in told(api, since, container=id) if kind == "container"]
    assert actions == ["create", "start", "die", "destroy"]


def test_an_events_shape(api, box) -> None:
    since = time.time() - 0.5
    id = box.create(name="dm-eng-event", labels={"a": "b"})
    event = next(api.events(since=since, until=time.time() + 0.1, decode=True, filters={"container": id}))
    assert (event["status"], event["id"], event["from"], event["scope"]) == ("create", id, IMAGE, "local")
    assert event["Actor"]["Attributes"] == {"a": "b", "image": IMAGE, "name": "dm-eng-event"}
    assert event["timeNano"] // 10**9 == event["time"]


def test_exit_codes_are_told(api, box) -> None:
    since = time.time() - 0.5
    id = box.start(["sh", "-c", "exit 8"])
    api.wait(id)
    until(lambda: ("container", "die") in told(api, since, container=id))
    died = next(
        api.events(since=since, until=time.time() + 0.1, decode=True, filters={"container": id, "event": "die"})
    )
    assert died["Actor"]["Attributes"]["exitCode"] == "8"


def test_live_events(api, box, engine) -> None:
    import docker

    client = docker.APIClient(base_url=engine)
    stream = client.events(decode=True, filters={"type": "volume", "event": "create"})
    seen: list[dict[str, object]] = []
    listening = threading.Thread(target=lambda: seen.append(next(stream)), daemon=True)
    listening.start()
    try:
        until(
            lambda: (
                bool(api.create_volume("dm-eng-told"))
                and api.remove_volume("dm-eng-told", force=True) is None
                and bool(seen)
            )
        )
    finally:
        stream.close()
        client.close()
    assert seen[0]["Actor"]["ID"] == "dm-eng-told"  # type: ignore[index]


def test_kill_and_stop_are_told(api, box) -> None:
    since = time.time() - 0.5
    id = box.loop(host={"network_mode": "none"})
    api.stop(id, timeout=5)
    until(lambda: ("container", "stop") in told(api, since, container=id))
    actions = [action for kind, action in told(api, since, container=id) if kind == "container"]
    assert actions == ["create", "start", "kill", "die", "stop"]


def test_exec_events_name_the_command(api, box) -> None:
    since = time.time() - 0.5
    id = box.loop()
    api.exec_start(api.exec_create(id, ["echo", "x"]))
    until(lambda: ("container", "exec_die") in told(api, since, container=id))
    actions = [action for _, action in told(api, since, container=id)]
    assert "exec_create: echo x" in actions
    assert "exec_start: echo x" in actions
    assert [action for _, action in told(api, since, container=id, event="exec_create")] == ["exec_create: echo x"]


def test_event_filters(api, box) -> None:
    since = time.time() - 0.5
    id = box.create(labels={"dm-event": "1"})
    assert told(api, since, label="dm-event=1") == [("container", "create")]
    assert told(api, since, label="dm-event=2") == []
    assert told(api, since, container=id, event="start") == []
    assert ("container", "create") in told(api, since, type="container", image=IMAGE)
