"""Networks: the three that are always there, what a container sees, /etc files."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import docker
import pytest

from tests.engine.conftest import IMAGE
from tests.engine.test_containers import refused
from tests.engine.test_life import until


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


def test_no_network(box, api, tier) -> None:
    host = api.create_host_config(network_mode="none")
    made = api.create_container(IMAGE, ["sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1"], host_config=host)
    id = made["Id"]
    try:
        api.start(id)
        assert api.wait(id)["StatusCode"] == 0
        assert (api.logs(id).split() == [b"lo"]) or tier.traced
        assert list(api.inspect_container(id)["NetworkSettings"]["Networks"]) == ["none"]
    finally:
        api.remove_container(id, force=True)


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
    body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"PortBindings": {"999999/tcp": [{"HostPort": "1"}]}}}
    refused(lambda: api.create_container_from_config(body), 400, "invalid port")


def test_prune_leaves_the_three(api) -> None:
    api.prune_networks()
    assert {"bridge", "host", "none"} <= {one["Name"] for one in api.networks()}


# --- bridges ---

SERVER = ["sh", "-c", "mkdir /w; echo hello > /w/index.html; exec httpd -f -p 80 -h /w"]


@pytest.fixture
def network(api: docker.APIClient, box) -> Iterator[str]:  # type: ignore[no-untyped-def]
    name = "dm-eng-net"
    api.create_network(name)
    yield name
    box.remove_all()
    api.remove_network(name)


def run_in(api, id: str, *command: str) -> bytes:  # type: ignore[no-untyped-def]
    return bytes(api.exec_start(api.exec_create(id, list(command))))


def endpoint(api, id: str, name: str) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return dict(api.inspect_container(id)["NetworkSettings"]["Networks"][name])


def joined(api, name: str, **settings):  # type: ignore[no-untyped-def]
    return api.create_networking_config({name: api.create_endpoint_config(**settings)})


def test_create_inspect_and_remove(api) -> None:
    made = api.create_network("dm-eng-made", labels={"a": "b"}, internal=True)
    shown = api.inspect_network(made["Id"])
    assert (shown["Name"], shown["Driver"], shown["Internal"], shown["Labels"]) == (
        "dm-eng-made",
        "bridge",
        True,
        {"a": "b"},
    )
    (pool,) = shown["IPAM"]["Config"]
    assert pool["Gateway"].rpartition(".")[2] == "1"
    api.remove_network("dm-eng-made")
    refused(lambda: api.inspect_network(made["Id"]), 404)


def test_a_name_once(api, network: str) -> None:
    refused(lambda: api.create_network(network, check_duplicate=True), 409, "already exists")


def test_a_chosen_subnet_and_address(api, box, tier) -> None:
    pool = docker.types.IPAMPool(subnet="10.213.7.0/24", gateway="10.213.7.254")
    api.create_network("dm-eng-pool", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    try:
        config = joined(api, "dm-eng-pool", ipv4_address="10.213.7.9")
        id = box.loop(host={"network_mode": "dm-eng-pool"}, networking_config=config)
        assert endpoint(api, id, "dm-eng-pool")["IPAddress"] == "10.213.7.9"
        if not tier.traced:  # it has no interfaces of its own
            assert b"10.213.7.9/24" in run_in(api, id, "ip", "addr")
            assert b"via 10.213.7.254" in run_in(api, id, "ip", "route")
    finally:
        box.remove_all()
        api.remove_network("dm-eng-pool")


@pytest.mark.parametrize("subnet", ["nonsense", "10.213.7.0/99"])
def test_odd_subnets(api, subnet: str) -> None:
    ipam = {"Driver": "default", "Config": [{"Subnet": subnet}]}
    refused(lambda: api.create_network("dm-eng-odd", ipam=ipam), 400, subnet)


def test_an_unknown_driver(api) -> None:
    refused(lambda: api.create_network("dm-eng-odd", driver="odd"), 404, "odd")


def test_the_network_when_none_is_named(box, api, tier) -> None:
    joined = list(api.inspect_container(box.loop())["NetworkSettings"]["Networks"])
    assert joined == (["bridge"] if tier.bridged else ["host"])


def test_a_container_on_the_default_bridge(box, api, tier) -> None:
    id = box.loop(host={"network_mode": "bridge"})
    shown = api.inspect_container(id)
    address = shown["NetworkSettings"]["IPAddress"] or endpoint(api, id, "bridge")["IPAddress"]
    if not tier.traced:  # it has no interfaces of its own
        assert address.encode() in run_in(api, id, "ip", "addr")
    assert id in api.inspect_network("bridge")["Containers"]
    assert f"{address}\t{id[:12]}".encode() in run_in(api, id, "cat", "/etc/hosts")


def test_names_resolve_on_a_users_network(box, api, network: str) -> None:
    config = joined(api, network, aliases=["www"])
    box.start(SERVER, name="dm-eng-web", host={"network_mode": network}, networking_config=config)
    client = box.loop(host={"network_mode": network})
    until(lambda: run_in(api, client, "wget", "-qO-", "http://dm-eng-web/") == b"hello\n")
    assert run_in(api, client, "wget", "-qO-", "http://www/") == b"hello\n"


def test_an_endpoints_shape(box, api, network: str) -> None:
    id = box.loop(
        name="dm-eng-shape", host={"network_mode": network}, networking_config=joined(api, network, aliases=["www"])
    )
    shown = endpoint(api, id, network)
    assert shown["NetworkID"] == api.inspect_network(network)["Id"]
    assert "www" in shown["Aliases"]  # type: ignore[operator]
    assert str(shown["MacAddress"]).count(":") == 5
    assert shown["IPPrefixLen"] == 16 or int(str(shown["IPPrefixLen"])) >= 16
    member = api.inspect_network(network)["Containers"][id]
    assert member["Name"] == "dm-eng-shape"
    assert member["IPv4Address"].startswith(f"{shown['IPAddress']}/")


def test_connect_and_disconnect_while_it_runs(box, api, network: str) -> None:
    box.start(SERVER, name="dm-eng-web", host={"network_mode": network})
    id = box.loop(host={"network_mode": "bridge"})
    api.connect_container_to_network(id, network, aliases=["guest"])
    until(lambda: run_in(api, id, "wget", "-qO-", "http://dm-eng-web/") == b"hello\n")
    refused(lambda: api.connect_container_to_network(id, network), 403, "already exists in network")
    api.disconnect_container_from_network(id, network)
    assert network not in api.inspect_container(id)["NetworkSettings"]["Networks"]
    refused(lambda: api.disconnect_container_from_network(id, network), 403, "is not connected")


def test_connect_before_start(box, api, network: str) -> None:
    id = box.create(["sleep", "100"], host={"network_mode": "bridge"})
    api.connect_container_to_network(id, network)
    api.start(id)
    assert endpoint(api, id, network)["IPAddress"]


def test_the_host_network_is_not_joined_later(box, api, network: str) -> None:
    id = box.loop(host={"network_mode": "host"})
    refused(lambda: api.connect_container_to_network(id, network), 400, "cannot be connected to any other network")


def test_a_network_in_use_stays(box, api, network: str) -> None:
    box.loop(host={"network_mode": network})
    refused(lambda: api.remove_network(network), 403, "has active endpoints")


def test_published_ports(box, api) -> None:
    id = box.start(SERVER, ports=[80], host={"port_bindings": {80: ("127.0.0.1", None)}})
    (binding,) = api.inspect_container(id)["NetworkSettings"]["Ports"]["80/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    port = int(binding["HostPort"])
    until(lambda: _fetched(port).endswith(b"hello\n"))
    listed = next(one for one in api.containers() if one["Id"] == id)
    assert {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"} in listed["Ports"]
    api.stop(id, timeout=1)
    assert _fetched(port) == b""


def test_udp_ports(box, api) -> None:
    bindings = {"9000/udp": ("127.0.0.1", None)}
    id = box.loop(ports=[(9000, "udp")], host={"port_bindings": bindings})
    (binding,) = api.inspect_container(id)["NetworkSettings"]["Ports"]["9000/udp"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", int(binding["HostPort"])))


def test_a_taken_port(box, api) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        id = box.create(SERVER, ports=[80], host={"port_bindings": {80: ("127.0.0.1", taken.getsockname()[1])}})
        message = refused(lambda: api.start(id), 500, "driver failed programming external connectivity")
        assert "address already in use" in message


def test_links(box, api) -> None:
    box.start(SERVER, name="dm-eng-web", host={"network_mode": "bridge"})
    id = box.loop(host={"links": {"dm-eng-web": "db"}, "network_mode": "bridge"})
    until(lambda: run_in(api, id, "wget", "-qO-", "http://db/") == b"hello\n")


def test_what_a_link_tells(box, api) -> None:
    """The variables of daemon/links: ports, a range of them, the other's name and environment."""
    box.loop(name="dm-eng-far", ports=[81, 80], environment=["COLOUR=red"], host={"network_mode": "bridge"})
    host = {"links": {"dm-eng-far": "my-db"}, "network_mode": "bridge"}
    id = box.loop(name="dm-eng-near", host=host)
    told = dict(line.split("=", 1) for line in run_in(api, id, "env").decode().splitlines())
    address = told["MY_DB_PORT_80_TCP_ADDR"]
    assert told["MY_DB_PORT"] == f"tcp://{address}:80"
    assert told["MY_DB_PORT_80_TCP"] == f"tcp://{address}:80"
    assert (told["MY_DB_PORT_81_TCP_PORT"], told["MY_DB_PORT_81_TCP_PROTO"]) == ("81", "tcp")
    assert (told["MY_DB_NAME"], told["MY_DB_ENV_COLOUR"]) == ("/dm-eng-near/my-db", "red")
    assert "MY_DB_ENV_PATH" not in told
    assert address in run_in(api, id, "grep", "my-db", "/etc/hosts").decode()
    assert api.inspect_container(id)["HostConfig"]["Links"] == ["/dm-eng-far:/dm-eng-near/my-db"]
    names = {name for one in api.containers() for name in one["Names"]}
    assert {"/dm-eng-far", "/dm-eng-near/my-db"} <= names
    api.remove_container("dm-eng-near/my-db", link=True)
    assert not api.inspect_container(id)["HostConfig"]["Links"]
    assert "/dm-eng-near/my-db" not in {name for one in api.containers() for name in one["Names"]}


def test_ports_that_follow_each_other_in_a_link(box, api, ours) -> None:
    box.loop(name="dm-eng-far", ports=[81, 80, (80, "udp")], host={"network_mode": "bridge"})
    id = box.loop(name="dm-eng-near", host={"links": {"dm-eng-far": "db"}, "network_mode": "bridge"})
    told = dict(line.split("=", 1) for line in run_in(api, id, "env").decode().splitlines())
    assert told["DB_PORT_80_TCP_START"].endswith(":80")
    assert told["DB_PORT_80_TCP_PORT_END"] == "81"
    assert "DB_PORT_80_UDP_START" not in told


def test_a_link_to_nothing(box, api) -> None:
    refused(
        lambda: box.create(host={"links": {"dm-eng-nothing": "x"}}), 400, "could not get container for dm-eng-nothing"
    )


def test_links_on_a_network_of_ones_own(box, api, network, tier) -> None:
    far = box.loop(
        name="dm-eng-far", networking_config=api.create_networking_config({network: {}}), host={"network_mode": network}
    )
    linked = api.create_endpoint_config(links={"dm-eng-far": "bar"})
    id = box.loop(networking_config=api.create_networking_config({network: linked}), host={"network_mode": network})
    address = api.inspect_container(far)["NetworkSettings"]["Networks"][network]["IPAddress"]
    if tier.traced:  # its name server can't always tell who asks
        return
    assert address in run_in(api, id, "nslookup", "bar").decode()


def test_the_address_of_the_card(box, api, tier) -> None:
    address = "02:42:ac:11:00:0a"
    id = box.loop(mac_address=address, host={"network_mode": "bridge"})
    assert endpoint(api, id, "bridge")["MacAddress"] == address
    api.restart(id, timeout=0)
    if not tier.traced:  # it has no interfaces of its own
        assert run_in(api, id, "cat", "/sys/class/net/eth0/address").decode().strip() == address


def test_disconnecting_what_is_not_connected(box, api, network) -> None:
    id = box.create()
    refused(lambda: api.disconnect_container_from_network(id, network, force=True), 403, "is not connected")


def test_a_network_whose_name_has_a_space(api, network) -> None:
    made = api.create_network("dm eng spaced")
    try:
        assert api.inspect_network("dm eng spaced")["Id"] == made["Id"]
    finally:
        api.remove_network(made["Id"])


def _fetched(port: int) -> bytes:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(4096), b""))
    return b""
