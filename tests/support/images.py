"""Stand-ins for the images of a hub, made of busybox-static, as the archive ``docker load`` takes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

PATH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STAMP = 1_700_000_000
ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nwheel:x:10:root\nnobody:x:65534:\n",
}
ALPINE = {
    "etc/alpine-release": "3.20.0\n",
    "etc/os-release": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME="Alpine Linux v3.20"\n',
}


def _busybox() -> bytes:
    for place in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(place):
            return Path(place).read_bytes()
    pytest.skip("busybox-static is not installed")


def _add(
    tar: tarfile.TarFile, name: str, *, data: bytes = b"", kind: bytes = tarfile.REGTYPE, mode: int = 0o644
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime, info.size = kind, mode, STAMP, len(data)
    tar.addfile(info, io.BytesIO(data))


def rootfs(extra: dict[str, str] | None = None) -> bytes:
    """A tar of a small root file system: busybox and its applets as hard links."""
    binary = _busybox()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("bin", "dev", "etc", "proc", "root", "sys", "usr", "usr/bin", "var"):
            _add(tar, folder, kind=tarfile.DIRTYPE, mode=0o755)
        _add(tar, "tmp", kind=tarfile.DIRTYPE, mode=0o1777)
        _add(tar, "bin/busybox", data=binary, mode=0o755)
        listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
        for applet in sorted(listed.stdout.split()):
            if applet != "busybox":
                info = tarfile.TarInfo(f"bin/{applet}")
                info.type, info.linkname, info.mode, info.mtime = tarfile.LNKTYPE, "bin/busybox", 0o755, STAMP
                tar.addfile(info)
        for name, text in {**ETC, **(extra or {})}.items():
            _add(tar, name, data=text.encode())
    return out.getvalue()


def archive(name: str, layer: bytes, command: list[str], env: Sequence[str] = ()) -> bytes:
    """A docker archive (``manifest.json``) of one image with one layer."""
    config = json.dumps(
        {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "created": "2023-11-14T22:13:20Z",
            "config": {"Env": [PATH_ENV, *env], "Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
            "history": [{"created": "2023-11-14T22:13:20Z", "created_by": "ADD rootfs.tar / # buildkit"}],
        }
    ).encode()
    digest = hashlib.sha256(config).hexdigest()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, f"{digest}.json", data=config)
        _add(tar, "layer.tar", data=layer)
        manifest = [{"Config": f"{digest}.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        _add(tar, "manifest.json", data=json.dumps(manifest).encode())
    return out.getvalue()


def alpine() -> bytes:
    """An archive of ``alpine:latest``."""
    return archive("alpine:latest", rootfs(ALPINE), ["/bin/sh"])


def busybox() -> bytes:
    """An archive of ``busybox:latest``."""
    return archive("busybox:latest", rootfs(), ["sh"])


def compressed(data: bytes) -> bytes:
    """gzip, the same bytes every time."""
    return gzip.compress(data, 1, mtime=0)


def fill_registry(address: str) -> None:
    """Put library/alpine and library/busybox into the registry at ``address`` (host:port) over its HTTP API."""
    import requests

    base = f"http://{address}/v2/library"

    def blob(repository: str, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if requests.head(f"{base}/{repository}/blobs/{digest}", timeout=30).status_code != 200:
            upload = requests.post(f"{base}/{repository}/blobs/uploads/", timeout=30)
            place = upload.headers["Location"]
            place = place if place.startswith("http") else f"http://{address}{place}"
            join = "&" if "?" in place else "?"
            requests.put(f"{place}{join}digest={digest}", data=data, timeout=60).raise_for_status()
        return digest

    for repository, make in (("alpine", alpine), ("busybox", busybox)):
        with tarfile.open(fileobj=io.BytesIO(make())) as tar:
            listed = json.loads(_read(tar, "manifest.json"))[0]
            config, layer = _read(tar, listed["Config"]), compressed(_read(tar, listed["Layers"][0]))
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config),
                "digest": blob(repository, config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": len(layer),
                    "digest": blob(repository, layer),
                }
            ],
        }
        requests.put(
            f"{base}/{repository}/manifests/latest",
            data=json.dumps(manifest),
            headers={"Content-Type": kind},
            timeout=30,
        ).raise_for_status()


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    assert member is not None, name
    return member.read()


def provide(url: str, *, stand_ins: bool = False, python: bool = False) -> None:
    """alpine and busybox for the engine at ``url``, without a registry; of our own also what it makes itself.

    ``python`` adds ``python:3.X-slim``, see tests/support/python_image.py.
    """
    import docker

    wanted = [("alpine:latest", alpine), ("busybox:latest", busybox)]
    if python:
        from tests.support import python_image

        wanted.append((python_image.TAG, python_image.python))
    client = docker.DockerClient(base_url=url, timeout=120)
    for name, make in wanted:
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            client.images.load(make())
    for name in ("hello-world", "dockmagic/host") if stand_ins else ():
        client.images.pull(name, tag="latest")
    client.close()


def share(source: str, target: str, names: list[str]) -> None:
    """Load the images ``names``, pulled or made on the engine at ``source``, into the one at ``target``."""
    import docker

    with_them, without = (docker.DockerClient(base_url=url, timeout=120) for url in (source, target))
    for name in names:
        try:
            with_them.images.get(name)
        except docker.errors.ImageNotFound:
            with_them.images.pull(name, tag="latest")
        without.images.load(b"".join(with_them.api.get_image(name)))
    with_them.close()
    without.close()
