"""Socket addresses in and out of a container with a loopback address of its own."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import struct
from pathlib import Path

import pytest

from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.tracer.fabric import LoopbackNetworks
from dockmagic.runtime.tracer.network import PRIVILEGED_SHIFT, Network, Space, address_for, is_internet, real_port
from dockmagic.runtime.tracer.ready import find
from tests.runtime.tracer.conftest import Box


def v4(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + ipaddress.IPv4Address(host).packed + bytes(8)


def v6(host: str, port: int) -> bytes:
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0)
    return head + ipaddress.IPv6Address(host).packed + bytes(4)


@pytest.fixture
def network() -> Network:
    return Network("127.7.0.1", shifted=True)


@pytest.mark.parametrize("asked", ["0.0.0.0", "127.0.0.1", "127.7.0.1"])
def test_binding_lands_on_the_own_address(network: Network, asked: str) -> None:
    assert network.bind(v4(asked, 8080)) == v4("127.7.0.1", 8080)
    assert network.seen(v4("127.7.0.1", 8080), peer=False) == v4(asked, 8080)


def test_privileged_ports_move_and_look_unmoved(network: Network) -> None:
    assert network.bind(v4("0.0.0.0", 80)) == v4("127.7.0.1", 80 + PRIVILEGED_SHIFT)
    assert network.connect(v4("127.0.0.1", 80)) == v4("127.7.0.1", 80 + PRIVILEGED_SHIFT)
    assert network.connect(v4("127.7.0.2", 80)) == v4("127.7.0.2", 80 + PRIVILEGED_SHIFT)
    assert network.seen(v4("127.7.0.2", 80 + PRIVILEGED_SHIFT), peer=True) == v4("127.7.0.2", 80)
    assert (real_port(80, True), real_port(80, False), real_port(8080, True)) == (80 + PRIVILEGED_SHIFT, 80, 8080)


def test_ports_stay_where_the_kernel_allows_them() -> None:
    assert Network("127.7.0.1", shifted=False).bind(v4("0.0.0.0", 80)) == v4("127.7.0.1", 80)


def test_outgoing_sockets_can_leave(network: Network) -> None:
    assert network.bind(v4("0.0.0.0", 0)) == v4("0.0.0.0", 0)
    assert network.connect(v4("192.0.2.1", 443)) == v4("192.0.2.1", 443)
    assert network.connect(v6("2001:db8::1", 443)) == v6("2001:db8::1", 443)


def test_the_hosts_resolver_is_not_a_container(network: Network) -> None:
    assert network.connect(v4("127.0.0.53", 53)) == v4("127.0.0.53", 53)


def test_ipv6_sockets_use_the_mapped_address(network: Network) -> None:
    assert network.bind(v6("::", 8080)) == v6("::ffff:127.7.0.1", 8080)
    assert network.seen(v6("::ffff:127.7.0.1", 8080), peer=False) == v6("::", 8080)
    assert network.connect(v6("::1", 8080)) == v6("::ffff:127.7.0.1", 8080)
    assert network.fallback(v6("::", 8080)) == v6("::1", 0)
    assert network.fallback(v4("0.0.0.0", 8080)) is None


def test_without_a_network_there_is_no_way_out() -> None:
    network = Network("127.7.0.1", shifted=False, isolated=True)
    assert network.connect(v4("127.0.0.1", 8080)) == v4("127.7.0.1", 8080)
    for address in (v4("192.0.2.1", 1), v4("127.7.0.2", 1), v4("127.0.0.53", 53), v6("2001:db8::1", 1)):
        with pytest.raises(OSError, match="unreachable"):
            network.connect(address)


def test_an_address_can_be_had_from_an_id() -> None:
    address = ipaddress.IPv4Address(address_for("one"))
    assert address.is_loopback
    assert not str(address).startswith("127.0.")
    assert address_for("one") == address_for("one") != address_for("two")


def test_short_and_other_addresses_are_left_alone() -> None:
    assert not is_internet(b"\1\0/tmp/a-long-enough-path")
    assert not is_internet(v4("127.0.0.1", 1)[:8])


# --- networks, as the engine has them ---


@pytest.fixture
def networks(tmp_path: Path) -> LoopbackNetworks:
    networks = LoopbackNetworks(tmp_path)
    networks.create("net", (("172.18.0.0/16", "172.18.0.1"),))
    return networks


def join(networks: LoopbackNetworks, container: str, address: str) -> Network:
    folder = networks.open_space(container).partition(":")[2]
    networks.attach("net", container, "eth0", ((address, 16),))
    return Network(Space(folder).own(), shifted=True, space=Space(folder))


def test_a_network_address_is_the_other_containers_loopback_address(networks: LoopbackNetworks) -> None:
    one, _two = join(networks, "one", "172.18.0.2"), join(networks, "two", "172.18.0.3")
    there = one.connect(v4("172.18.0.3", 80))
    assert there == v4(address_for("two"), 80 + PRIVILEGED_SHIFT)
    assert one.source(there) == v4(address_for("one"), 0)
    assert one.seen(there, peer=True) == v4("172.18.0.3", 80)
    assert networks.reach("172.18.0.3", 80)[0] == address_for("two")


def test_its_own_network_address_is_its_own(networks: LoopbackNetworks) -> None:
    one = join(networks, "one", "172.18.0.2")
    assert one.bind(v4("172.18.0.2", 8080)) == v4(address_for("one"), 8080)
    assert one.source(one.connect(v4("172.18.0.2", 8080))) is None
    assert one.seen(v4(address_for("one"), 8080), peer=False) == v4("172.18.0.2", 8080)
    assert one.seen(v4(address_for("one"), 40000), peer=False) == v4("172.18.0.2", 40000)


def test_who_is_not_on_the_network_is_not_found(networks: LoopbackNetworks) -> None:
    one = join(networks, "one", "172.18.0.2")
    networks.create("other", (("172.19.0.0/16", "172.19.0.1"),))
    networks.open_space("two")
    networks.attach("other", "two", "eth0", (("172.19.0.2", 16),))
    assert one.connect(v4("172.19.0.2", 80)) == v4("172.19.0.2", 80)
    networks.attach("other", "one", "eth1", (("172.19.0.3", 16),))  # docker network connect, while it runs
    assert one.connect(v4("172.19.0.2", 8080)) == v4(address_for("two"), 8080)
    networks.detach("other", "one")
    assert one.connect(v4("172.19.0.2", 80)) == v4("172.19.0.2", 80)


def test_nothing_is_left_of_containers_and_networks(networks: LoopbackNetworks, tmp_path: Path) -> None:
    join(networks, "one", "172.18.0.2")
    networks.close_space("one")
    assert os.listdir(tmp_path / "nets/net") == []
    networks.remove("net")
    assert (os.listdir(tmp_path / "nets"), os.listdir(tmp_path / "spaces")) == ([], [])


def test_a_name_server_at_the_gateway_knows_its_askers(networks: LoopbackNetworks) -> None:
    one = join(networks, "one", "172.18.0.2")
    with networks.socket_inside(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("172.18.0.1", 5300))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((address_for("one"), 0))
            client.connect(networks.reach("172.18.0.1", 5300))
            client.send(b"question")
            question, asker = server.recvfrom(100)
            server.sendto(b"answer", asker)
            assert (question, asker[0], client.recv(100)) == (b"question", "172.18.0.2", b"answer")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
            anybody.sendto(b"question", networks.reach("172.18.0.1", 5300))
            _question, asker = server.recvfrom(100)
            server.sendto(b"answer", asker)
            assert (asker[0], anybody.recv(100)) == ("172.18.0.2", b"answer")
    assert one.connect(v4("172.18.0.1", 5300)) != v4("172.18.0.1", 5300)


@pytest.mark.parametrize("given", ["loopback:127.61.0.1", "none"])
def test_a_container_joins_the_network_of_another(box: Box, given: str) -> None:
    """docker run --network container:NAME"""
    server = box.background(
        "sh", "-c", "echo from the other | nc -l -p 8080 127.0.0.1 & wait; sleep 300", network=given
    )
    joined = f"ns:/proc/{server.pid}/ns/net"
    ask = "until nc 127.0.0.1 8080 < /dev/null; do :; done"
    assert box.lines(ask, network=joined, id="second") == ["from the other"]
    third = box.background("sleep", "300", network=joined, id="third")
    name = find(box.tier._folder, third.pid)
    assert name is not None
    assert name[1] == (given if given != "none" else f"none:{address_for('test')}")
    for launched in (server, third):
        launched.signal(signal.SIGKILL)
        launched.wait()
    with pytest.raises(StartError, match="has ended"):
        box.sh("true", network=joined)
