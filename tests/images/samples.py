"""Small images to push, pull, load: layers as tars, configs that list them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from typing import Any

import zstandard

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar of plain files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def config_of(tars: list[bytes], **fields: Any) -> bytes:
    """A config for an image with these layers."""
    return json.dumps(
        {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [sha(tar) for tar in tars]},
            **fields,
        }
    ).encode()


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that no compression makes smaller, the same for the same seed."""
    blocks = (hashlib.sha256(f"{seed}-{at}".encode()).digest() for at in range(size // 32 + 1))
    return b"".join(blocks)[:size]
