"""Containers on bridges: they meet on one, are kept apart on two, are reached by published ports."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dockmagic.errors import DockmagicError
from dockmagic.runtime.networks.ports import Port
from tests.runtime import inside
from tests.runtime.conftest import Handle, Machine

ONE, TWO, INNER = "1" * 64, "2" * 64, "3" * 64
_SUBNETS = {ONE: "10.91.1", TWO: "10.91.2", INNER: "10.91.3"}
_ECHO = "while :; do nc -l -p 7 -e cat; done"


@pytest.fixture(scope="module", params=["namespaces", "range", "single"])
def net(request: pytest.FixtureRequest) -> Iterator[tuple[Machine, Handle]]:
    """A machine with a network of its own when it is root's, and its networks ONE, TWO and (internal) INNER."""
    kind = request.param
    if kind == "namespaces":
        request.getfixturevalue("root_only")
        machine = Machine(kind, None, "namespaces", network="own")
    else:
        machine = Machine(kind, request.getfixturevalue("unprivileged")[kind], "rootless")
    networks = machine.call(inside.networks)
    for network, net in _SUBNETS.items():
        networks.create(network, ((f"{net}.0/24", f"{net}.1"),), internal=network == INNER)
    yield machine, networks
    for network in _SUBNETS:
        networks.remove(network)
    networks.close()
    if kind == "namespaces":  # the others' interfaces were in the namespace that ended with them
        assert machine.call(inside.links) == ["lo"]
    assert list((machine.folder / "networks").iterdir()) == []
    machine.close()


class Box:
    """A container on a network, ended with the ``with`` block."""

    def __init__(self, net: tuple[Machine, Handle], network: str, last: int, *command: str) -> None:
        self.machine, self.networks = net
        self.network = network
        self.address = f"{_SUBNETS[network]}.{last}"
        self.id = f"{last}{network}"
        space = self.networks.open_space(self.id)
        gateway = f"{_SUBNETS[network]}.1"
        self.networks.attach(network, self.id, "eth0", ((self.address, 24),), gateways=(gateway,))
        self.process: Any = self.machine.prepare(*command, id=self.id, network=space)
        self.stream = self.machine.attach(self.process)
        self.process.start()

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.wait(0) is None:
            self.process.signal(signal.SIGKILL)
            self.process.wait(5)
        self.process.close()
        self.networks.close_space(self.id)

    def run(self, script: str) -> tuple[int, bytes]:
        code, out, err = self.machine.run_exec(self.process, "sh", "-c", script)
        return code, out + err


def _sleeper(net: tuple[Machine, Handle], network: str, last: int) -> Box:
    return Box(net, network, last, "sleep", "100")


def _server(net: tuple[Machine, Handle], network: str, last: int) -> Box:
    return Box(net, network, last, "sh", "-c", _ECHO)


def test_an_interface_with_address_route_and_mac(net: tuple[Machine, Handle]) -> None:
    with _sleeper(net, ONE, 2) as box:
        code, out = box.run("ifconfig eth0 | grep -oE 'HWaddr [0-9A-F:]+|inet addr:[0-9.]+'; route -n | grep ^0.0.0.0")
    assert code == 0
    assert out.split()[:4] == [b"HWaddr", b"02:42:0A:5B:01:02", b"inet", b"addr:10.91.1.2"]
    assert out.split()[5] == b"10.91.1.1"


def test_two_on_one_network_meet(net: tuple[Machine, Handle]) -> None:
    with _server(net, ONE, 2) as server, _sleeper(net, ONE, 3) as client:
        code, out = client.run(f"until echo hello | nc {server.address} 7; do sleep 0.05; done")
    assert (code, out.splitlines()[-1]) == (0, b"hello")


def test_networks_are_kept_apart(net: tuple[Machine, Handle]) -> None:
    with _sleeper(net, ONE, 2) as one, _sleeper(net, TWO, 2) as two:
        assert one.run(f"ping -c1 -W1 {two.address}")[0] != 0
        assert two.run(f"ping -c1 -W1 {one.address}")[0] != 0
        assert one.run("ping -c1 -W1 10.91.1.1")[0] == 0


def test_a_running_container_is_connected_to_another_network_and_taken_off(net: tuple[Machine, Handle]) -> None:
    _machine, networks = net
    with _sleeper(net, ONE, 2) as one, _sleeper(net, TWO, 3) as two:
        networks.attach(TWO, one.id, "eth1", (("10.91.2.9", 24),))
        assert one.run(f"ping -c1 -W1 {two.address}")[0] == 0
        networks.detach(TWO, one.id)
        code, out = one.run("ls /sys/class/net")
        assert (code, b"eth1" in out, b"eth0" in out) == (0, False, True)


def test_making_a_network_again_is_no_error(net: tuple[Machine, Handle]) -> None:
    net[1].create(ONE, (("10.91.1.0/24", "10.91.1.1"),))


@pytest.mark.parametrize("size", [5, 3_000_000])
def test_a_published_port_carries_both_ways(net: tuple[Machine, Handle], size: int) -> None:
    machine, networks = net
    with _server(net, ONE, 2) as server:
        shared = machine.call(inside.networks_shared, networks)
        published = machine.call(inside.publish, shared, server.address, [Port(7)], server.id)
        ports = machine.call(inside.ports_of, published)
        assert ports[0][:3] == (7, "tcp", "0.0.0.0")
        data = bytes(n % 251 for n in range(size))
        assert machine.call(inside.exchange_again, ports[0][3], data) == data
    with pytest.raises(OSError):  # it ended with its container
        machine.call(inside.exchange_until_refused, ports[0][3])


def test_a_published_udp_port(net: tuple[Machine, Handle]) -> None:
    machine, networks = net
    with _sleeper(net, ONE, 2) as server:
        machine.call(inside.echo_datagrams, networks.space_of(server.id), 9)
        shared = machine.call(inside.networks_shared, networks)
        published = machine.call(inside.publish, shared, server.address, [Port(9, "udp", "127.0.0.1")], server.id)
        port = machine.call(inside.ports_of, published)[0][3]
        assert machine.call(inside.datagram_again, port, b"ping") == b"ping"
        published.close()
        machine.call(inside.bind_again, port)


def test_a_port_in_use_is_told_in_dockers_words(net: tuple[Machine, Handle]) -> None:
    machine, networks = net
    shared = machine.call(inside.networks_shared, networks)
    number = machine.call(inside.occupy_port)
    with pytest.raises(
        DockmagicError, match=rf"failed to bind host port for 127.0.0.1:{number}/tcp: address already in"
    ):
        machine.call(inside.publish, shared, "10.91.1.2", [Port(7, "tcp", "127.0.0.1", number)], "nobody")


def _host_address() -> str:
    """An address of this machine's that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no route outward")
        return str(sock.getsockname()[0])


def test_the_way_out(net: tuple[Machine, Handle]) -> None:
    """Rootless: a connection outward arrives, by the relay; an internal network has none."""
    if net[0].kind == "namespaces":
        pytest.skip("root's test network has no way out itself")
    address = _host_address()
    with socket.create_server((address, 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=_answer_once, args=(listener,), daemon=True).start()
        with _sleeper(net, ONE, 2) as box, _sleeper(net, INNER, 2) as inner:
            assert box.run(f"echo out | nc {address} {port}") == (0, b"echo out\n")
            assert inner.run(f"echo out | nc -w 1 {address} {port}")[0] != 0


def _answer_once(listener: socket.socket) -> None:
    client, _address = listener.accept()
    with client, client.makefile("rb") as file:
        client.sendall(b"echo " + file.read())
