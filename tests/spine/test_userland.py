"""What people do in containers, where nothing is allowed: a Debian userland's own programs in the tracer.

In the other tiers these programs meet a kernel that does its own part, so once is enough; it takes a network to
fetch packages from.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.spine.conftest import dockmagic
from tests.spine.test_debian import debian_image
from tests.support import services

pytestmark = [
    pytest.mark.skipif(os.environ.get("DOCKMAGIC_RUNTIME") != "tracer", reason="about the tracer"),
    pytest.mark.timeout(600),
]
__all__ = ["debian_image"]
PACKAGES = "gcc libc6-dev python3-pip git redis-server dbus openssh-client"
WHEELS = ("click", "packaging", "idna")
THREADS = """
import threading
seen, lock = [], threading.Lock()
def work(number):
    for at in range(50):
        with open(f"/tmp/thread-{number}", "a") as file:
            file.write(f"{at}\\n")
    with lock:
        seen.append(sum(1 for _ in open(f"/tmp/thread-{number}")))
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(seen), set(seen))
"""
SOCKETS = """
import os, socket
for size in (20, 90, 107):
    name = ("/tmp/" + "x" * 200)[:size]
    server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    server.bind(name)
    server.listen()
    client.connect(name)
    print(len(server.getsockname()), len(client.getpeername()), os.path.exists(name))
print(sorted(map(len, os.listdir("/tmp"))))
one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "12")
one.bind(("0.0.0.0", 5555))
two.bind(("127.0.0.1", 5556))
two.sendmsg([b"text"], [], 0, ("127.0.0.1", 5555))
print(*one.recvmsg(10))
"""


@pytest.fixture(scope="module")
def userland(debian_image: str, embedded: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian with a compiler, pip, git, redis, and what has other owners than root; built in the tracer."""
    folder = tmp_path_factory.mktemp("userland")
    (folder / "Dockerfile").write_text(
        f"FROM {debian_image}\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        "RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends"
        f" {PACKAGES} && rm -rf /var/lib/apt/lists/*\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "dockmagic", "build", "--progress", "plain", "-t", "userland", str(folder)],
        env={**os.environ, "DOCKMAGIC_HOST": embedded}, capture_output=True, text=True, timeout=560, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return "userland"


@pytest.fixture
def client(embedded: str) -> Iterator[docker.DockerClient]:
    with_userland = docker.DockerClient(base_url=embedded, timeout=120)
    yield with_userland
    with_userland.close()


def _lines(embedded: str, image: str, script: str) -> list[str]:
    """The output of a script that must succeed."""
    done = dockmagic("run", "--rm", image, "sh", "-ec", script, DOCKMAGIC_HOST=embedded)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_pip_installs_wheels(userland: str, embedded: str, tmp_path: Path) -> None:
    wheels = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d"]
    subprocess.run([*wheels, str(tmp_path / "wheels"), *WHEELS], check=True)
    (tmp_path / "Dockerfile").write_text(
        f"FROM {userland}\nCOPY wheels /wheels\n"
        f"RUN pip install -q --break-system-packages --no-index --find-links /wheels {' '.join(WHEELS)}\n"
    )
    built = dockmagic("build", "-q", "-t", "with-wheels", str(tmp_path), DOCKMAGIC_HOST=embedded)
    assert built.returncode == 0, built.stderr
    assert _lines(embedded, "with-wheels", f"python3 -c 'import {', '.join(WHEELS)}; print(1)'") == ["1"]


def test_a_c_program_is_compiled_and_run(userland: str, embedded: str) -> None:
    script = (
        "cd /tmp; printf '#include <stdio.h>\\nint main(void) { return puts(\"compiled\") < 0; }\\n' > a.c;"
        " gcc -O2 -o a a.c; ./a; gcc -static -o b a.c; ./b"
    )
    assert _lines(embedded, userland, script) == ["compiled", "compiled"]


def test_git_clones_a_local_repository(userland: str, embedded: str) -> None:
    script = (
        "git init -q -b main /one; cd /one; git config user.email a@b; git config user.name n; echo text > file;"
        " git add file; git commit -q -m first; git clone -q /one /two; git clone -q --no-local file:///one /three;"
        " cat /two/file; git -C /three log --format=%s; git -C /two fsck"
    )
    assert _lines(embedded, userland, script) == ["text", "first"]


def test_sixteen_threads(userland: str, embedded: str) -> None:
    assert _lines(embedded, userland, f"python3 -c '{THREADS}'") == ["16 {50}"]


def test_sockets_have_the_containers_addresses(userland: str, embedded: str) -> None:
    lines = _lines(embedded, userland, f"python3 -c '{SOCKETS}'")
    assert lines == ["20 20 True", "90 90 True", "107 107 True", "[15, 85, 102]", "b'text' [] 0 ('127.0.0.1', 5556)"]


def test_copies_keep_modes(userland: str, embedded: str) -> None:
    script = "cd /tmp; mknod n c 1 3; chmod 644 n; install -o daemon -m 640 /etc/passwd f; cp -a n m; cp -p f g"
    assert _lines(embedded, userland, f"{script}; stat -c '%A %U %t' m g") == [
        "crw-r--r-- root 1",
        "-rw-r----- daemon 0",
    ]


def test_users_are_added_and_become_themselves(userland: str, embedded: str) -> None:
    script = (
        "useradd -m -u 4242 someone; su someone -c 'id -un; id -u; touch ~/mine; ls /root 2>&1 | tail -1';"
        " stat -c '%U %u' /home/someone/mine; su - someone -c 'echo $HOME'"
    )
    assert _lines(embedded, userland, script) == [
        "someone", "4242", "ls: cannot open directory '/root': Permission denied", "someone 4242", "/home/someone",
    ]  # fmt: skip


def test_owners_reach_the_layer(userland: str, client: docker.DockerClient) -> None:
    helper, agent = "usr/lib/dbus-1.0/dbus-daemon-launch-helper", "usr/bin/ssh-agent"
    seen: dict[str, tarfile.TarInfo] = {}
    groups: dict[str, int] = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(client.images.get(userland).save()))) as image:
        manifest = json.load(image.extractfile("manifest.json") or io.BytesIO())
        with tarfile.open(fileobj=image.extractfile(manifest[0]["Layers"][-1])) as layer:
            for member in layer:
                if member.name in (helper, agent):
                    seen[member.name] = member
                elif member.name == "etc/group":
                    lines = (layer.extractfile(member) or io.BytesIO()).read().decode().splitlines()
                    groups = {line.split(":")[0]: int(line.split(":")[2]) for line in lines}
    assert (seen[agent].mode, seen[agent].uid, seen[agent].gid) == (0o2755, 0, groups["_ssh"])
    assert (seen[helper].mode, seen[helper].uid, seen[helper].gid) == (0o4754, 0, groups["messagebus"])


def test_redis_in_two_containers_that_know_each_other_by_name(userland: str, client: docker.DockerClient) -> None:
    network = client.networks.create("redis-net")
    server = client.containers.run(
        userland, ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""],
        name="store", network="redis-net", detach=True,
    )  # fmt: skip
    try:
        for line in server.logs(stream=True, follow=True):
            if b"Ready to accept" in line:
                break
        ask = ["redis-cli", "-h", "store", "set", "key", "value"]
        assert client.containers.run(userland, ask, network="redis-net", remove=True) == b"OK\n"
        assert client.containers.run(userland, [*ask[:3], "get", "key"], network="redis-net", remove=True) == b"value\n"
    finally:
        server.remove(force=True)
        network.remove()


def test_a_published_web_server_is_fetched_from_the_machine(userland: str, client: docker.DockerClient) -> None:
    port = services.free_port()
    serve = "mkdir /site && echo served > /site/index.html && exec python3 -u -m http.server -d /site 80"
    server = client.containers.run(userland, ["sh", "-c", serve], ports={"80/tcp": port}, detach=True)
    try:
        for line in server.logs(stream=True, follow=True):
            if b"Serving HTTP" in line:
                break
        began = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            assert answer.read() == b"served\n"
        assert time.monotonic() - began < 20
    finally:
        server.remove(force=True)
