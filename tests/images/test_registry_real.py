"""Against distribution's own registry, and with an image that dockerd pushed or pulls."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import docker

from dockmagic.images.registry import Registry
from dockmagic.images.store import Store
from tests.images.samples import config_of, noise, tar_of
from tests.images.test_registry_push import add


def test_there_and_back(registry: str, new_store: Callable[[str], Store]) -> None:
    here, there = new_store("here"), new_store("there")
    name = f"{registry}/there/and/back:1"
    image = add(here, name)
    digest = Registry(here, (), ()).push(name)
    pulled = Registry(there, (), ()).pull(name)
    assert pulled.id == image.id
    assert pulled.digests == [f"{registry}/there/and/back@{digest}"]
    there.tag(pulled.id, f"{registry}/elsewhere:1")
    messages: list[dict[str, object]] = []
    Registry(there, (), ()).push(f"{registry}/elsewhere:1", progress=messages.append)
    assert "Mounted from there/and/back" in [message.get("status") for message in messages]


def test_the_mirror_holds_alpine(registry: str, store: Store) -> None:
    image = Registry(store, [registry], ()).pull("alpine")
    assert image.config["os"] == "linux"
    assert image.tags == ["alpine:latest"]


def test_dockerd_pulls_what_was_pushed_and_gives_it_the_same_digest(
    registry: str, store: Store, dockerd: str, new_store: Callable[[str], Store]
) -> None:
    name = f"{registry}/ours/for-dockerd"
    image = add(store, f"{name}:1")
    digest = Registry(store, (), ()).push(f"{name}:1")
    client = docker.DockerClient(base_url=dockerd)
    try:
        pulled = client.images.pull(name, tag="1")
        assert pulled.id == image.id
        assert pulled.attrs["RepoDigests"] == [f"{name}@{digest}"]
        client.images.push(name, tag="1")
        again = Registry(new_store("again"), (), ()).pull(f"{name}:1")
        assert again.digests == [f"{name}@{digest}"]
    finally:
        client.images.remove(f"{name}:1", force=True)
        client.close()


def test_memory_stays_flat_with_a_big_layer(registry: str, tmp_path: Path) -> None:
    """Load, push, pull and save an image with a layer of 150 MB in a child of its own; its peak stays below 100 MB."""
    tar = tar_of({"big": noise(4_000_000) * 38})
    archived = io.BytesIO()
    import json
    import tarfile

    config = config_of([tar])
    listed = [{"Config": "config.json", "RepoTags": [f"{registry}/big:1"], "Layers": ["layer.tar"]}]
    with tarfile.open(fileobj=archived, mode="w") as out:
        for name, data in (("config.json", config), ("layer.tar", tar), ("manifest.json", json.dumps(listed).encode())):
            header = tarfile.TarInfo(name)
            header.size = len(data)
            out.addfile(header, io.BytesIO(data))
    (tmp_path / "in.tar").write_bytes(archived.getvalue())
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from dockmagic.database import Database
        from dockmagic.images import archive
        from dockmagic.images.content import Content
        from dockmagic.images.registry import Registry
        from dockmagic.images.snapshots import open_snapshots
        from dockmagic.images.store import Store

        def store(name):
            root = Path(sys.argv[1]) / name
            database = Database(root / "state.db")
            content = Content(root / "content")
            snapshots = open_snapshots(root / "snapshots", content, database, overlay="no", id_mapping="host")
            return Store(root, database, snapshots)

        one, two = store("one"), store("two")
        with open(sys.argv[1] + "/in.tar", "rb") as stream:
            archive.load(one, stream)
        Registry(one, (), ()).push(sys.argv[2])
        Registry(two, (), ()).pull(sys.argv[2])
        with open(sys.argv[1] + "/out.tar", "wb") as out:
            out.writelines(archive.save(two, [sys.argv[2]]))
        print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    """)
    command = [sys.executable, "-c", script, str(tmp_path), f"{registry}/big:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100_000, f"{int(done.stdout)} KiB"
