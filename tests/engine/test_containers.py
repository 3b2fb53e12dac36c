"""Create, inspect, list, rename, update, remove."""

from __future__ import annotations

import re
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, NotFound

from tests.engine.conftest import IMAGE, LOOP


def refused(call, status: int, words: str = "") -> str:  # type: ignore[no-untyped-def]
    """The message of the APIError that ``call`` raises with ``status``."""
    with pytest.raises(APIError) as raised:
        call()
    assert raised.value.status_code in accepted(raised.value, status), raised.value
    message = str(raised.value.explanation)
    assert words.lower() in message.lower(), message
    return message


def accepted(error: APIError, status: int) -> set[int]:
    """The statuses to expect: dockerd 20.10 answers 500 to many a request that is malformed."""
    old = "/20.10" in error.response.headers.get("Server", "")
    return {status, 500} if old and status in {400, 403, 404} else {status}


# --- create ---


def test_create_gives_an_id_and_warnings(box, api) -> None:
    created = api.create_container(IMAGE, "true")
    api.remove_container(created["Id"])
    assert re.fullmatch(r"[0-9a-f]{64}", created["Id"])
    assert created["Warnings"] in ([], None)


def test_a_name_is_made_up(box, api) -> None:
    assert re.fullmatch(r"/[a-z]+_[a-z]+\d?", api.inspect_container(box.create())["Name"])


def test_a_given_name_is_kept_and_unique(box, api) -> None:
    id = box.create(name="dm-eng-name")
    assert api.inspect_container("dm-eng-name")["Id"] == id
    message = refused(
        lambda: box.create(name="dm-eng-name"), 409, 'The container name "/dm-eng-name" is already in use'
    )
    assert id in message


@pytest.mark.parametrize("name", ["x", "-a", "a b", "a/b", "ä"])
def test_odd_names_are_refused(box, name: str) -> None:
    refused(lambda: box.create(name=name), 400, "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")


def test_a_missing_image(box) -> None:
    with pytest.raises(NotFound) as raised:
        box.create(image="dm-no-such-image")
    assert "No such image: dm-no-such-image:latest" in raised.value.explanation


def test_an_invalid_reference(box) -> None:
    refused(lambda: box.create(image="UPPER/Case:::"), 400, "invalid reference format")


def test_command_as_a_list_and_as_a_string(box, api) -> None:
    as_list = api.inspect_container(box.create(["echo", "a b"]))
    assert (as_list["Path"], as_list["Args"]) == ("echo", ["a b"])
    as_string = api.inspect_container(box.create("echo a b"))
    assert as_string["Config"]["Cmd"] == ["echo", "a", "b"]


def test_entrypoint_goes_before_the_command(box, api) -> None:
    shown = api.inspect_container(box.create(["x"], entrypoint=["echo", "-n"]))
    assert (shown["Path"], shown["Args"]) == ("echo", ["-n", "x"])
    assert shown["Config"]["Entrypoint"] == ["echo", "-n"]


def test_an_entrypoint_without_command_forgets_the_images(box, api) -> None:
    shown = api.inspect_container(box.create(None, entrypoint=["id"]))
    assert (shown["Path"], shown["Args"], shown["Config"]["Cmd"]) == ("id", [], None)


def test_the_environment(box) -> None:
    code, out = box.run(["env"], environment={"A": "1", "EMPTY": "", "PATH": "/bin"}, hostname="box")
    lines = out.decode().splitlines()
    assert code == 0
    assert {"A=1", "EMPTY=", "PATH=/bin", "HOSTNAME=box", "HOME=/root"} <= set(lines)


def test_hostname_and_domain(box, api) -> None:
    id = box.create(["hostname"], hostname="web", domainname="example.org")
    config = api.inspect_container(id)["Config"]
    assert (config["Hostname"], config["Domainname"]) == ("web", "example.org")
    assert box.run(["sh", "-c", "hostname; cat /etc/hostname"], hostname="web")[1] == b"web\nweb\n"


def test_the_default_hostname_is_the_short_id(box, api) -> None:
    id = box.create()
    assert api.inspect_container(id)["Config"]["Hostname"] == id[:12]


def test_working_folder(box) -> None:
    assert box.run(["pwd"], working_dir="/tmp")[1] == b"/tmp\n"
    assert box.run(["sh", "-c", "pwd; touch x"], working_dir="/made/on/the/way")[1] == b"/made/on/the/way\n"


def test_a_working_folder_that_is_a_file(box) -> None:
    with pytest.raises(APIError, match="Cannot mkdir: /etc/passwd is not a directory"):
        box.start("true", working_dir="/etc/passwd")


def test_a_relative_working_folder(box) -> None:
    refused(lambda: box.create(working_dir="here"), 400, "needs to be an absolute path")


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", "0 0"),
        ("nobody", "65534 65534"),
        ("1234", "1234 0"),
        ("1234:4321", "1234 4321"),
        ("nobody:wheel", "65534 10"),
    ],
)
def test_users(box, user: str, ids: str) -> None:
    assert box.run(["sh", "-c", "echo $(id -u) $(id -g)"], user=user)[1].decode().strip() == ids


def test_an_unknown_user(box) -> None:
    with pytest.raises(APIError, match="unable to find user nobody-here: no matching entries in passwd file"):
        box.start("true", user="nobody-here")


def test_labels(box, api) -> None:
    id = box.create(labels={"a": "1", "b": ""})
    assert api.inspect_container(id)["Config"]["Labels"] == {"a": "1", "b": ""}


def test_host_config_comes_back(box, api) -> None:
    id = box.create(
        host={
            "mem_limit": "64m", "cpu_shares": 512, "pids_limit": 50, "cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"],
            "dns": ["192.0.2.1"], "dns_search": ["example.org"], "extra_hosts": {"db": "192.0.2.7"}, "shm_size": "32m",
            "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3}, "security_opt": ["no-new-privileges"],
            "tmpfs": {"/scratch": "size=1m"}, "group_add": ["10"], "oom_score_adj": 100, "read_only": True,
            "ulimits": [docker.types.Ulimit(name="nofile", soft=100, hard=200)], "init": True,
        }
    )  # fmt: skip
    host = api.inspect_container(id)["HostConfig"]
    assert host["Memory"] == 64 * 1024 * 1024
    assert (host["CpuShares"], host["PidsLimit"], host["OomScoreAdj"]) == (512, 50, 100)
    assert [name.removeprefix("CAP_") for name in host["CapAdd"] + host["CapDrop"]] == ["NET_ADMIN", "MKNOD"]
    assert (host["Dns"], host["DnsSearch"], host["ExtraHosts"]) == (["192.0.2.1"], ["example.org"], ["db:192.0.2.7"])
    assert host["ShmSize"] == 32 * 1024 * 1024
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (host["SecurityOpt"], host["Tmpfs"], host["GroupAdd"]) == (
        ["no-new-privileges"],
        {"/scratch": "size=1m"},
        ["10"],
    )
    assert host["ReadonlyRootfs"] is True
    assert host["Init"] is True
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 100, "Hard": 200}]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"mem_limit": "1m"}, "Minimum memory limit allowed is"),
        ({"mem_limit": "64m", "memswap_limit": "32m"}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"cap_add": ["NO_SUCH"]}, "unknown capability"),
        ({"security_opt": ["odd"]}, "invalid --security-opt"),
        (
            {"auto_remove": True, "restart_policy": {"Name": "always"}},
            "can't create 'AutoRemove' container with restart policy",
        ),
        ({"binds": ["relative:also-relative"]}, "invalid"),
        ({"binds": ["/tmp:/x:odd"]}, "invalid mode"),
        ({"binds": ["/tmp:/x", "/var:/x"]}, "Duplicate mount point: /x"),
        ({"binds": ["/tmp:/"]}, "destination can't be '/'"),
    ],
)
def test_values_that_cannot_be_are_refused(box, host, words: str) -> None:
    refused(lambda: box.create(host=host), 400, words)


@pytest.mark.parametrize(
    ("host", "words"),
    [({"ipc_mode": "odd"}, "invalid IPC mode"), ({"pid_mode": "container:"}, "invalid PID mode")],
)
def test_values_that_dockerd_20_10_refuses_at_start(box, ours, host, words: str) -> None:
    refused(lambda: box.create(host=host), 400, words)


def test_an_unknown_restart_policy(api) -> None:
    body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}
    refused(lambda: api.create_container_from_config(body), 400, "invalid restart policy")


def test_no_command(api, box, client) -> None:
    empty = client.images.build(fileobj=__import__("io").BytesIO(b"FROM scratch\nLABEL a=b\n"), tag="dm-eng-empty")[0]
    try:
        refused(lambda: box.create(None, image=empty.id), 400, "no command specified")
    finally:
        client.images.remove("dm-eng-empty", force=True)


def test_wrong_types_are_refused(api) -> None:
    refused(lambda: api.create_container_from_config({"Image": IMAGE, "Cmd": 5}), 400)
    refused(lambda: api.create_container_from_config({"Image": IMAGE, "Env": "A=1"}), 400)


# --- inspect ---


def test_inspect_by_id_prefix_and_name(box, api) -> None:
    id = box.create(name="dm-eng-look")
    for reference in (id, id[:12], id[:5], "dm-eng-look", "/dm-eng-look"):
        assert api.inspect_container(reference)["Id"] == id


def test_inspect_of_nothing(api) -> None:
    refused(lambda: api.inspect_container("dm-eng-nothing"), 404, "No such container: dm-eng-nothing")


def test_inspect_has_the_whole_shape(box, api) -> None:
    shown = api.inspect_container(box.loop())
    for name in (
        "Id", "Created", "Path", "Args", "State", "Image", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath",
        "Name", "RestartCount", "Driver", "Platform", "MountLabel", "ProcessLabel", "AppArmorProfile", "ExecIDs",
        "HostConfig", "GraphDriver", "Mounts", "Config", "NetworkSettings",
    ):  # fmt: skip
        assert name in shown
    state = shown["State"]
    assert (state["Status"], state["Running"], state["ExitCode"]) == ("running", True, 0)
    assert not any(state[name] for name in ("Paused", "Restarting", "OOMKilled", "Dead"))
    assert state["Pid"] > 0
    assert state["FinishedAt"].startswith("0001-01-01")
    assert shown["Image"] == api.inspect_image(IMAGE)["Id"]
    assert shown["Config"]["Image"] == IMAGE


def test_inspect_with_sizes(box, api) -> None:
    id = box.start(["sh", "-c", "head -c 100000 /dev/zero > /file"])
    api.wait(id)
    shown = api._result(api._get(api._url("/containers/{0}/json", id), params={"size": 1}), True)
    assert shown["SizeRw"] >= 100_000
    assert shown["SizeRootFs"] > shown["SizeRw"]


# --- list ---


def names(listed) -> set[str]:  # type: ignore[no-untyped-def]
    return {one["Names"][0] for one in listed}


def test_list_shows_what_runs_and_all_shows_all(box, api) -> None:
    box.create(name="dm-eng-still")
    box.loop(name="dm-eng-moving")
    assert "/dm-eng-moving" in names(api.containers())
    assert "/dm-eng-still" not in names(api.containers())
    assert {"/dm-eng-moving", "/dm-eng-still"} <= names(api.containers(all=True))


def test_list_shape(box, api) -> None:
    id = box.loop(labels={"a": "b"})
    one = next(c for c in api.containers() if c["Id"] == id)
    assert one["Image"] == IMAGE
    assert one["ImageID"] == api.inspect_image(IMAGE)["Id"]
    assert one["State"] == "running"
    assert re.fullmatch(r"Up (Less than a second|\d+ seconds?)", one["Status"])
    assert one["Labels"] == {"a": "b"}
    assert one["Command"].startswith("sh -c ")
    assert isinstance(one["Created"], int)
    assert "Networks" in one["NetworkSettings"]


def test_list_status_of_the_ended_and_the_new(box, api) -> None:
    ended, new = box.start(["sh", "-c", "exit 3"]), box.create()
    api.wait(ended)
    shown = {one["Id"]: one["Status"] for one in api.containers(all=True)}
    assert re.fullmatch(r"Exited \(3\) (Less than a second|\d+ seconds?) ago", shown[ended])
    assert shown[new] == "Created"


def test_list_limit_and_latest(box, api) -> None:
    box.create()
    last = box.create()
    assert [one["Id"] for one in api.containers(limit=1)] == [last]


def test_list_sizes_only_when_asked(box, api) -> None:
    id = box.create()
    assert "SizeRootFs" in next(c for c in api.containers(all=True, size=True) if c["Id"] == id)
    assert "SizeRootFs" not in next(c for c in api.containers(all=True) if c["Id"] == id)


def filtered(api, **filters) -> set[str]:  # type: ignore[no-untyped-def]
    return {one["Id"] for one in api.containers(all=True, filters=filters)}


def test_filters(box, api) -> None:
    first = box.create(name="dm-eng-first", labels={"kind": "one", "dm": "x"})
    second = box.loop(name="dm-eng-second", labels={"kind": "two", "dm": "x"})
    failed = box.start(["sh", "-c", "exit 4"], labels={"dm": "x"})
    api.wait(failed)
    assert filtered(api, label="dm") == {first, second, failed}
    assert filtered(api, label=["dm", "kind=two"]) == {second}
    assert filtered(api, name="dm-eng-f") == {first}
    assert filtered(api, id=second[:12]) == {second}
    assert filtered(api, label="dm", status="created") == {first}
    assert filtered(api, label="dm", status=["created", "running"]) == {first, second}
    assert filtered(api, label="dm", exited=4) == {failed}
    assert filtered(api, label="dm", before="dm-eng-second") == {first}
    assert filtered(api, label="dm", since="dm-eng-first") == {second, failed}
    assert filtered(api, label="dm", ancestor=IMAGE) == {first, second, failed}
    assert filtered(api, label="dm", ancestor="dm-no-such-image") == set()


@pytest.mark.parametrize("filters", [{"odd": "x"}, {"status": "odd"}, {"exited": "x"}, {"health": "odd"}])
def test_invalid_filters(api, filters) -> None:
    refused(lambda: api.containers(filters=filters), 400)


def test_filters_that_are_no_json(raw) -> None:
    assert raw().ask("GET", "/v1.41/containers/json?filters=x").status in {400, 500}


def test_health_none_filter(box, api) -> None:
    id = box.create()
    assert id in filtered(api, health="none")


# --- rename, update, remove ---


def test_rename(box, api) -> None:
    id = box.create(name="dm-eng-before")
    api.rename(id, "dm-eng-after")
    assert api.inspect_container("dm-eng-after")["Id"] == id
    refused(lambda: api.inspect_container("dm-eng-before"), 404)
    box.create(name="dm-eng-other")
    refused(lambda: api.rename(id, "dm-eng-other"), 409, "already in use")
    refused(lambda: api.rename(id, "!"), 400)


def test_update(box, api) -> None:
    id = box.create(host={"mem_limit": "64m"})
    api.update_container(id, mem_limit="128m", memswap_limit="256m", restart_policy={"Name": "always"})
    host = api.inspect_container(id)["HostConfig"]
    assert host["Memory"] == 128 * 1024 * 1024
    assert host["RestartPolicy"]["Name"] == "always"


def limit_of(pid: int) -> int:
    """Bytes of memory that the control group of a process may use, whichever version the machine has."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        base = Path("/sys/fs/cgroup")
        for file in (base / "memory" / path[1:] / "memory.limit_in_bytes", base / path[1:] / "memory.max"):
            if (controllers == "memory" or number == "0") and file.exists():
                return int(file.read_text().replace("max", "0"))
    return 0


def test_update_of_a_running_one(box, api, tier) -> None:
    id = box.loop(host={"mem_limit": "64m", "memswap_limit": "512m"})
    warnings = api.update_container(id, mem_limit="128m")["Warnings"]
    assert api.inspect_container(id)["HostConfig"]["Memory"] == 128 * 1024 * 1024
    if tier.limits:
        assert limit_of(api.inspect_container(id)["State"]["Pid"]) == 128 * 1024 * 1024
    else:
        told = "when the container is started again" if tier.traced else "cgroup is not mounted"
        assert told in warnings[0]


def test_what_update_refuses(box, api) -> None:
    id = box.create(host={"mem_limit": "64m", "cpu_quota": 50_000})
    refused(lambda: api.update_container(id, mem_limit="1g"), 409, "update the memoryswap at the same time")
    refused(lambda: api.update_container(id, mem_limit="1m"), 400, "Minimum memory limit allowed is 6MB")
    kept = box.create(host={"auto_remove": True})
    refused(lambda: api.update_container(kept, restart_policy={"Name": "always"}), 409, "AutoRemove is enabled")


def test_what_was_not_asked_for_is_null(api) -> None:
    """docker-compose tells an empty list from none."""
    id = api._result(api._post_json(api._url("/containers/create"), data={"Image": IMAGE, "Cmd": ["true"]}), True)["Id"]
    try:
        host = api.inspect_container(id)["HostConfig"]
        for name in (
            "Binds",
            "CapAdd",
            "Devices",
            "Dns",
            "DnsOptions",
            "DnsSearch",
            "ExtraHosts",
            "PortBindings",
            "Ulimits",
        ):
            assert host[name] is None, name
    finally:
        api.remove_container(id)


def test_capabilities_are_shown_as_asked(box, api) -> None:
    id = box.create(host={"cap_add": ["SYS_TIME", "CAP_SYS_NICE"], "cap_drop": ["net_raw"]})
    host = api.inspect_container(id)["HostConfig"]
    assert (host["CapAdd"], host["CapDrop"]) == (["SYS_TIME", "CAP_SYS_NICE"], ["net_raw"])


def test_tmpfs_is_no_mount_point(box, api) -> None:
    id = box.create(host={"tmpfs": {"/scratch": "size=1m"}})
    shown = api.inspect_container(id)
    assert (shown["Mounts"], shown["HostConfig"]["Tmpfs"]) == ([], {"/scratch": "size=1m"})


def test_an_isolation_of_another_system(box) -> None:
    refused(lambda: box.create(host={"isolation": "process"}), 400, "linux only supports 'default'")


def test_names_of_containers_become_ids_in_modes(box, api) -> None:
    first = box.loop(name="dm-eng-donor", host={"ipc_mode": "shareable"})
    modes = {"network_mode": "container:dm-eng-donor", "pid_mode": "container:dm-eng-donor"}
    id = box.create(host={**modes, "ipc_mode": "container:dm-eng-donor"})
    host = api.inspect_container(id)["HostConfig"]
    assert {host["NetworkMode"], host["PidMode"], host["IpcMode"]} == {f"container:{first}"}


def test_another_containers_processes_and_memory(box, api) -> None:
    donor = box.loop(host={"ipc_mode": "shareable"})
    id = box.loop(host={"pid_mode": f"container:{donor}", "ipc_mode": f"container:{donor}"})
    for namespace in ("pid", "ipc"):
        asked = [api.exec_create(one, ["readlink", f"/proc/self/ns/{namespace}"]) for one in (donor, id)]
        assert len({api.exec_start(one) for one in asked}) == 1


def test_memory_that_is_not_shared(box, api) -> None:
    donor = box.loop()
    id = box.create(host={"ipc_mode": f"container:{donor}"})
    refused(lambda: api.start(id), 400, "non-shareable IPC (hint: use IpcMode:shareable for the donor container)")


def test_remove(box, api) -> None:
    id = box.create()
    api.remove_container(id)
    refused(lambda: api.inspect_container(id), 404)
    refused(lambda: api.remove_container(id), 404)


def test_a_running_container_is_removed_by_force_only(box, api) -> None:
    id = box.loop()
    refused(lambda: api.remove_container(id), 409, "emove")
    api.remove_container(id, force=True)
    refused(lambda: api.inspect_container(id), 404)


def test_prune(box, api) -> None:
    kept = box.loop(labels={"dm-prune": ""})
    gone = box.create(labels={"dm-prune": ""})
    answer = api.prune_containers(filters={"label": "dm-prune"})
    assert answer["ContainersDeleted"] == [gone]
    assert isinstance(answer["SpaceReclaimed"], int)
    assert api.inspect_container(kept)["State"]["Running"]


def test_the_command_line_of_list_quotes_words(box, api) -> None:
    id = box.create(LOOP)
    shown = next(one for one in api.containers(all=True) if one["Id"] == id)
    assert "'trap" in shown["Command"]
