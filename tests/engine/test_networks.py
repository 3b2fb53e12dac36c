"""Networks: the three that are always there, what a container sees, /etc files."""

from __future__ import annotations

import pytest

from tests.engine.test_containers import refused


def test_the_three_are_there(api) -> None:
    drivers = {one["Name"]: one["Driver"] for one in api.networks()}
    assert {"bridge": "bridge", "host": "host", "none": "null"}.items() <= drivers.items()


def test_inspect_by_name_id_and_prefix(api) -> None:
    shown = api.inspect_network("host")
    assert api.inspect_network(shown["Id"])["Name"] == "host"
    assert api.inspect_network(shown["Id"][:12])["Name"] == "host"
    assert {"Scope", "EnableIPv6", "IPAM", "Internal", "Attachable", "Containers", "Options", "Labels"} <= set(shown)


def test_inspect_of_nothing(api) -> None:
    refused(lambda: api.inspect_network("dm-eng-nothing"), 404, "network dm-eng-nothing not found")


def test_filters(api) -> None:
    assert [one["Name"] for one in api.networks(names=["host"])] == ["host"]
    assert {one["Name"] for one in api.networks(filters={"driver": "null"})} == {"none"}
    assert {"bridge", "host", "none"} <= {one["Name"] for one in api.networks(filters={"type": "builtin"})}
    refused(lambda: api.networks(filters={"odd": "x"}), 400)


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_predefined_networks_stay(api, name: str) -> None:
    refused(lambda: api.remove_network(name), 403, "pre-defined network and cannot be removed")


def test_a_predefined_name_is_taken(api) -> None:
    refused(lambda: api.create_network("host"), 403, "predefined host network")


def test_an_unknown_network_keeps_a_container_from_starting(box, api) -> None:
    id = box.create(host={"network_mode": "dm-eng-nothing"})
    refused(lambda: api.start(id), 404, "network dm-eng-nothing not found")


def test_host_network(box, api) -> None:
    id = box.loop(host={"network_mode": "host"})
    shown = api.inspect_container(id)
    assert shown["HostConfig"]["NetworkMode"] == "host"
    assert list(shown["NetworkSettings"]["Networks"]) == ["host"]
    assert shown["NetworkSettings"]["Ports"] == {}


def test_no_network(box, api) -> None:
    code, out = box.run(["sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1"], host={"network_mode": "none"})
    assert (code, out.split()) == (0, [b"lo"])
    assert list(api.inspect_container(box.create(host={"network_mode": "none"}))["NetworkSettings"]["Networks"]) == [
        "none"
    ]


def test_another_containers_network(box, api) -> None:
    first = box.loop(host={"network_mode": "none"})
    second = box.loop(host={"network_mode": f"container:{first}"})
    seen = {api.exec_start(api.exec_create(id, ["readlink", "/proc/self/ns/net"])) for id in (first, second)}
    assert len(seen) == 1


def test_joining_a_network_of_nothing(box, api) -> None:
    with pytest.raises(Exception, match="No such container: dm-eng-nothing"):
        box.start(host={"network_mode": "container:dm-eng-nothing"})


def test_hosts_file(box) -> None:
    out = box.run(["cat", "/etc/hosts"], hostname="web", host={"extra_hosts": {"db": "192.0.2.7"}})[1].decode()
    assert "127.0.0.1\tlocalhost" in out
    assert "192.0.2.7\tdb" in out
    assert "\tweb" in out


def test_resolv_conf(box) -> None:
    host = {
        "dns": ["192.0.2.1", "192.0.2.2"],
        "dns_search": ["example.org"],
        "dns_opt": ["ndots:3"],
        "network_mode": "none",
    }
    out = box.run(["cat", "/etc/resolv.conf"], host=host)[1].decode().splitlines()
    assert {line for line in out if line and not line.startswith("#")} == {
        "nameserver 192.0.2.1", "nameserver 192.0.2.2", "search example.org", "options ndots:3",
    }  # fmt: skip


def test_published_ports_are_dropped_on_the_host_network(api) -> None:
    body = {
        "Image": "busybox", "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
    }  # fmt: skip
    created = api.create_container_from_config(body)
    api.remove_container(created["Id"])
    assert "Published ports are discarded when using host network mode" in created["Warnings"]


def test_ports_that_are_none(api) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"PortBindings": {"999999/tcp": [{"HostPort": "1"}]}}}
    refused(lambda: api.create_container_from_config(body), 400, "invalid port")


def test_prune_leaves_the_three(api) -> None:
    api.prune_networks()
    assert {"bridge", "host", "none"} <= {one["Name"] for one in api.networks()}
