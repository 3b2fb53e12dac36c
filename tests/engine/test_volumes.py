"""Volumes, binds, tmpfs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.types import Mount

from tests.engine.test_containers import refused


@pytest.fixture
def volume(api, box) -> Iterator[str]:
    name = "dm-eng-volume"
    api.create_volume(name)
    yield name
    box.remove_all()
    api.remove_volume(name, force=True)


def listed(api, **filters) -> set[str]:  # type: ignore[no-untyped-def]
    return {one["Name"] for one in api.volumes(filters=filters)["Volumes"] or []}


def test_create_inspect_remove(api) -> None:
    made = api.create_volume("dm-eng-one", labels={"a": "b"})
    assert (made["Name"], made["Driver"], made["Scope"], made["Labels"]) == ("dm-eng-one", "local", "local", {"a": "b"})
    shown = api.inspect_volume("dm-eng-one")
    assert shown["Mountpoint"].endswith("/dm-eng-one/_data")
    assert shown["CreatedAt"]
    api.remove_volume("dm-eng-one")
    refused(lambda: api.inspect_volume("dm-eng-one"), 404, "no such volume")
    refused(lambda: api.remove_volume("dm-eng-one"), 404, "no such volume")


def test_creating_twice_gives_the_same(api, volume: str) -> None:
    assert api.create_volume(volume)["CreatedAt"] == api.inspect_volume(volume)["CreatedAt"]


def test_without_a_name(api) -> None:
    made = api.create_volume()
    assert len(made["Name"]) == 64
    api.remove_volume(made["Name"])


@pytest.mark.parametrize("name", ["a", "a/b", "-x", "a b"])
def test_odd_names(api, name: str) -> None:
    refused(lambda: api.create_volume(name), 400, "invalid" if len(name) > 1 else "")


def test_an_unknown_driver(api) -> None:
    refused(lambda: api.create_volume("dm-eng-x", driver="odd"), 404, 'plugin "odd" not found')


def test_an_unknown_option(api) -> None:
    refused(lambda: api.create_volume("dm-eng-x", driver_opts={"odd": "1"}), 400, "odd")


def test_list_and_filters(api, box, volume: str) -> None:
    api.create_volume("dm-eng-two", labels={"dm": "yes"})
    try:
        assert {volume, "dm-eng-two"} <= listed(api)
        assert listed(api, name="dm-eng-tw") == {"dm-eng-two"}
        assert listed(api, label="dm=yes") == {"dm-eng-two"}
        box.create(host={"binds": [f"{volume}:/v"]})
        assert volume not in listed(api, dangling="true")
        assert "dm-eng-two" in listed(api, dangling="true")
        assert volume in listed(api, dangling="false")
        refused(lambda: api.volumes(filters={"odd": "x"}), 400)
    finally:
        api.remove_volume("dm-eng-two")


def test_a_volume_keeps_data(api, box, volume: str) -> None:
    host = {"binds": [f"{volume}:/data"]}
    assert box.run(["sh", "-c", "echo kept > /data/file"], host=host)[0] == 0
    assert box.run(["cat", "/data/file"], host=host)[1] == b"kept\n"


def test_a_used_volume_stays(api, box, volume: str) -> None:
    id = box.create(host={"binds": [f"{volume}:/data"]})
    assert id in refused(lambda: api.remove_volume(volume), 409, "volume is in use")


def test_read_only(api, box, volume: str) -> None:
    code, out = box.run(["touch", "/data/x"], host={"binds": [f"{volume}:/data:ro"]})
    assert code == 1
    assert b"Read-only file system" in out


def test_a_new_volume_gets_the_images_files(api, box) -> None:
    id = box.start(["sh", "-c", "ls /etc/passwd && stat -c %a /etc"], volumes=["/etc"])
    api.wait(id)
    assert api.logs(id) == b"/etc/passwd\n755\n"


def test_nocopy(api, box, volume: str) -> None:
    assert box.run(["ls", "/etc"], host={"binds": [f"{volume}:/etc:nocopy"]})[1].split() == [
        b"hostname",
        b"hosts",
        b"resolv.conf",
    ]


def test_anonymous_volumes(api, box) -> None:
    id = box.create(volumes=["/data"])
    (mount,) = api.inspect_container(id)["Mounts"]
    assert (mount["Type"], mount["Destination"], mount["Driver"], mount["RW"]) == ("volume", "/data", "local", True)
    assert mount["Name"] in listed(api)
    api.remove_container(id, v=True)
    assert mount["Name"] not in listed(api)


def test_anonymous_volumes_stay_without_v(api, box) -> None:
    id = box.create(volumes=["/data"])
    (mount,) = api.inspect_container(id)["Mounts"]
    api.remove_container(id)
    assert mount["Name"] in listed(api)
    api.remove_volume(mount["Name"])


def test_named_volumes_stay_with_v(api, box, volume: str) -> None:
    id = box.create(host={"binds": [f"{volume}:/data"]})
    api.remove_container(id, v=True)
    assert volume in listed(api)


def test_volumes_from(api, box) -> None:
    first = box.start(["sh", "-c", "echo shared > /data/file"], volumes=["/data"])
    api.wait(first)
    assert box.run(["cat", "/data/file"], host={"volumes_from": [first]})[1] == b"shared\n"
    assert box.run(["touch", "/data/x"], host={"volumes_from": [f"{first}:ro"]})[0] == 1


def test_binds(api, box, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("host\n")
    id = box.start(["cat", "/in/file"], host={"binds": [f"{tmp_path}:/in:ro"]})
    api.wait(id)
    assert api.logs(id) == b"host\n"
    (mount,) = api.inspect_container(id)["Mounts"]
    assert (mount["Type"], mount["Source"], mount["Mode"], mount["RW"], mount["Propagation"]) == (
        "bind", str(tmp_path), "ro", False, "rprivate",
    )  # fmt: skip
    assert box.run(["sh", "-c", "echo back > /in/made"], host={"binds": [f"{tmp_path}:/in"]})[0] == 0
    assert (tmp_path / "made").read_text() == "back\n"


def test_a_file_as_a_bind(api, box, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("just me\n")
    assert box.run(["cat", "/etc/one"], host={"binds": [f"{tmp_path}/one:/etc/one"]})[1] == b"just me\n"


def test_a_missing_bind_source_is_made(api, box, tmp_path: Path) -> None:
    assert box.run(["ls", "/in"], host={"binds": [f"{tmp_path}/new:/in"]})[0] == 0
    assert (tmp_path / "new").is_dir()


def test_mounts(api, box, tmp_path: Path, volume: str) -> None:
    mounts = [
        Mount("/b", str(tmp_path), type="bind", read_only=True),
        Mount("/v", volume, type="volume"),
        Mount("/t", None, type="tmpfs", tmpfs_size=1_000_000, tmpfs_mode=0o1700),
        Mount("/a", None, type="volume"),
    ]
    id = box.start(["sh", "-c", "grep -c ' /[bvta] ' /proc/mounts; stat -c %a /t; touch /b/x"], host={"mounts": mounts})
    api.wait(id)
    assert api.logs(id, stderr=False) == b"4\n1700\n"
    shown = {one["Destination"]: one for one in api.inspect_container(id)["Mounts"]}
    assert {path: one["Type"] for path, one in shown.items()} == {
        "/b": "bind",
        "/v": "volume",
        "/t": "tmpfs",
        "/a": "volume",
    }
    assert shown["/b"]["RW"] is False
    assert shown["/v"]["Name"] == volume


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (
            {"Type": "bind", "Source": "/no/such/place", "Target": "/x"},
            "bind source path does not exist: /no/such/place",
        ),
        ({"Type": "bind", "Source": "", "Target": "/x"}, "Source must not be empty"),
        ({"Type": "bind", "Source": "relative", "Target": "/x"}, "mount path must be absolute"),
        ({"Type": "odd", "Target": "/x"}, "mount type unknown"),
        ({"Type": "tmpfs", "Source": "/x", "Target": "/x"}, "Source must not be specified"),
        ({"Type": "volume", "Source": "dm-x", "Target": ""}, "Target must not be empty"),
    ],
)
def test_mounts_that_cannot_be(api, mount, words: str) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Mounts": [mount]}}
    refused(lambda: api.create_container_from_config(body), 400, words)


def test_tmpfs(api, box, tier) -> None:
    code, out = box.run(
        ["sh", "-c", "touch /scratch/x && grep /scratch /proc/mounts"], host={"tmpfs": {"/scratch": "size=2m"}}
    )
    assert code == 0
    assert b"tmpfs /scratch" in out
    assert (b"size=2048k" in out) == (not tier.traced)


def test_volume_with_bind_options(api, box, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("through\n")
    api.create_volume("dm-eng-bound", driver_opts={"type": "none", "o": "bind", "device": str(tmp_path)})
    try:
        assert box.run(["cat", "/v/file"], host={"binds": ["dm-eng-bound:/v"]})[1] == b"through\n"
        box.remove_all()
    finally:
        api.remove_volume("dm-eng-bound", force=True)


def test_subpath(api, box, volume: str, ours) -> None:
    host = {"binds": [f"{volume}:/v"]}
    box.run(["sh", "-c", "mkdir /v/sub; echo deep > /v/sub/file"], host=host)
    mount = {"Type": "volume", "Source": volume, "Target": "/s", "VolumeOptions": {"Subpath": "sub"}}
    assert box.run(["cat", "/s/file"], host={"mounts": [mount]})[1] == b"deep\n"


def test_prune(api) -> None:
    api.create_volume("dm-eng-prune", labels={"dm-prune": ""})
    answer = api.prune_volumes(filters={"label": "dm-prune", **({"all": True} if _newer(api) else {})})
    assert answer["VolumesDeleted"] == ["dm-eng-prune"]


def _newer(api) -> bool:  # type: ignore[no-untyped-def]
    return tuple(int(part) for part in api._version.split(".")) >= (1, 42)
