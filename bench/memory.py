"""The engine's peak memory while an image of 300 MB is loaded, saved, pushed and pulled by its HTTP API.

Needs a registry (docker-registry, or DOCKMAGIC_TEST_REGISTRY). The file in the image does not compress.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker

from bench.measure import Row
from tests.support import services

SIZE = 300_000_000
GOAL = 80.0
"""MB"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, services.registry() as registry:
        archive, saved = Path(folder, "archive.tar"), Path(folder, "saved.tar")
        name = f"{registry}/bench-memory:latest"
        _make(archive, name)
        with services.embedded(Path(folder) / "root") as url:
            client = docker.DockerClient(base_url=url, timeout=600)
            pid = services.listener(url)

            def load() -> None:
                with archive.open("rb") as file:
                    client.images.load(file)

            def save() -> None:
                with saved.open("wb") as file:
                    file.writelines(client.api.get_image(name))
                if saved.stat().st_size < SIZE:
                    raise RuntimeError("the saved archive is too small")

            def push() -> None:
                for line in client.api.push(name, stream=True, decode=True):
                    if "error" in line:
                        raise RuntimeError(line["error"])

            def pull() -> None:
                client.images.remove(name)
                client.images.pull(name)

            for what, action in (("loaded", load), ("saved", save), ("pushed", push), ("pulled", pull)):
                title = f"the engine's peak while {SIZE // 10**6} MB are {what}"
                yield Row(title, _peak(pid, action), goal=GOAL, unit="MB")
            client.close()


def _peak(pid: int, action: Callable[[], None]) -> float:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak so far
    action()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _make(path: Path, name: str) -> None:
    """A docker archive of one layer with one file of random bytes."""
    layer = path.with_suffix(".layer")
    with layer.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("big")
        info.size = SIZE
        with open("/dev/urandom", "rb") as random:
            tar.addfile(info, random)
    with layer.open("rb") as file:
        digest = hashlib.sha256()
        while data := file.read(1 << 20):
            digest.update(data)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/big"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest.hexdigest()}"]},
            "history": [{"created_by": "bench"}],
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, data in (("config.json", config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        tar.add(layer, "layer.tar")
    layer.unlink()
