"""The images made on the spot, and that they run."""

from __future__ import annotations

import os
import platform
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from dockmagic.errors import NotFound, Unavailable
from dockmagic.images import standins
from dockmagic.images.standins import host
from dockmagic.images.standins.gather import Gatherer
from dockmagic.images.store import Store

linux = pytest.mark.skipif(platform.system() != "Linux", reason="runs Linux programs")
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="chroot needs root")

TRUSTED: Any = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
"""Pythons before the filters take everything as it is."""


def executable(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o755)
    return str(path)


def test_which_names_can_be_made() -> None:
    assert standins.names() == ["hello-world", "dockmagic/host"]
    for name in ("hello-world", "hello-world:latest", "docker.io/library/hello-world", "dockmagic/host:latest"):
        assert standins.covers(name)
        assert "no registry in reach" in standins.why(name)
    for name in ("alpine", "hello-world:linux", "ghcr.io/hello-world", "NOT A NAME", f"hello-world@sha256:{'0' * 64}"):
        assert not standins.covers(name)


@linux
def test_hello_world(store: Store, tmp_path: Path) -> None:
    image = standins.make(store, "hello-world")
    assert image.tags == ["hello-world:latest"]
    assert image.config["config"]["Cmd"] == ["/hello"]
    with tarfile.open(fileobj=image.layers[0].open_tar(), mode="r|") as tar:
        (member,) = [(member.name, member.mode, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    assert member[:2] == ("hello", 0o755)
    ran = subprocess.run([executable(tmp_path / "hello", member[2])], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("\nHello from dockmagic!\n")
    assert standins.make(store, "hello-world:latest").id == image.id
    assert len(store.list()) == 1


@linux
def test_the_host_image_is_the_same_each_time_and_quick(store: Store) -> None:
    first = standins.make(store, "dockmagic/host")
    before = time.process_time()
    assert standins.make(store, "dockmagic/host").id == first.id
    assert time.process_time() - before < 1  # seconds of this process' own work
    assert first.tags == ["dockmagic/host:latest"]
    assert first.config["config"]["Cmd"] == ["sh"]
    assert first.config["config"]["Env"] == [f"PATH={host.PATH}"]


@linux
@root
def test_the_host_image_runs(store: Store, tmp_path: Path) -> None:
    image = standins.make(store, "dockmagic/host")
    with tarfile.open(fileobj=image.layers[0].open_tar(), mode="r|") as tar:
        tar.extractall(tmp_path, **TRUSTED)
    script = r"""
        set -e
        . /etc/os-release; echo "$NAME"
        id -un; getent passwd nobody | cut -d: -f1
        printf '3\n1\n2\n' | sort | tail -n 1
        echo 'a b' | awk '{print $2}'; echo abc | sed s/b/X/; echo abc | grep -c b
        find /etc -name passwd; tar cf - /etc/hosts 2>/dev/null | gzip | gunzip | tar tf -
        stat -c %a /tmp /root; mkdir /tmp/x; rmdir /tmp/x
        for link in /bin/* /usr/bin/* /sbin/* /usr/sbin/*; do
            [ -e "$link" ] || [ ! -L "$link" ] || echo broken "$link"
        done
    """
    command = ["chroot", str(tmp_path), "/bin/sh", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PATH": host.PATH}, check=False)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        *("dockmagic host userland", "root", "nobody", "3", "b", "aXc", "1"),
        *("/etc/passwd", "etc/hosts", "1777", "700"),
    ]


@linux
@root
def test_every_program_of_the_host_image_starts(store: Store, tmp_path: Path) -> None:
    """None lacks a library: the loader's own exit status is 127."""
    gathered = Gatherer()
    for name in host.PROGRAMS:
        gathered.program(name)
    with tarfile.open(fileobj=standins.make(store, "dockmagic/host").layers[0].open_tar(), mode="r|") as tar:
        tar.extractall(tmp_path, **TRUSTED)
    script = "".join(
        f"{path} --help >/dev/null 2>&1 </dev/null; [ $? != 127 ] || echo {path}\n"
        for path in gathered.programs.values()
    )
    command = ["chroot", str(tmp_path), "/bin/sh", "-c", f"cd /tmp\n{script}"]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PATH": host.PATH}, check=False, timeout=60)
    assert ran.stdout == ""
    assert len(gathered.programs) > 20


def test_another_name_says_what_can_be_made(store: Store) -> None:
    with pytest.raises(NotFound, match=r"alpine can't be made .*hello-world, dockmagic/host"):
        standins.make(store, "alpine")


@pytest.mark.parametrize("name", ["hello-world", "dockmagic/host"])
def test_elsewhere_than_on_linux_it_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(Unavailable, match="can't be made on darwin"):
        standins.make(store, name)


def test_an_unknown_machine_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "sparc64")
    with pytest.raises(Unavailable, match="can't be made for sparc64"):
        standins.make(store, "hello-world")
