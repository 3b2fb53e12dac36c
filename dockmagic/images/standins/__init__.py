"""Images made on the spot, for when no registry is in reach: ``hello-world`` and ``dockmagic/host``.

Begin here. hello.py and program.py write one tiny program; host.py chooses, gather.py and libraries.py collect, and
packing.py packs what the machine itself has. Nothing is downloaded, and the same machine always makes the same image.
"""

from __future__ import annotations

import json
import platform
import stat
import sys
import tempfile
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dockmagic.errors import DockmagicError, NotFound, Unavailable
from dockmagic.images.reference import Reference

if TYPE_CHECKING:
    from dockmagic.images.standins.gather import Entry
    from dockmagic.images.store import Store, StoredImage

HELLO = "hello-world"
HOST = "dockmagic/host"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "arm"}


def names() -> list[str]:
    """The names that can be made here, in the order a person should try them."""
    return [HELLO, HOST]


def covers(name: str) -> bool:
    """Whether ``name``, as typed, is a stand-in's: its tag, if any, must be ``latest``."""
    try:
        reference = Reference.parse(name)
    except DockmagicError:
        return False
    return reference.familiar_name in names() and reference.tag == "latest" and not reference.digest


def why(name: str) -> str:
    """One line that tells people where the image ``name`` comes from."""
    familiar = Reference.parse(name).familiar_name
    if familiar == HELLO:
        return "no registry in reach: hello-world is made on the spot by dockmagic, it is not Docker's image"
    return "no registry in reach: dockmagic/host is made on the spot from this machine's own programs"


def make(store: Store, name: str) -> StoredImage:
    """Make the stand-in ``name`` in ``store``, tagged ``latest``. Making it again gives the same image.

    Raises NotFound for another name, Unavailable where this machine can't make it.
    """
    if not covers(name):
        raise NotFound(f"{name} can't be made without a registry; what can: {', '.join(names())}")
    familiar = Reference.parse(name).familiar_name
    machine = platform.machine()
    if sys.platform != "linux":
        raise Unavailable(f"{familiar} can't be made on {sys.platform}: a container's programs are Linux programs")
    architecture = _ARCHITECTURES.get(machine, machine)
    if familiar == HELLO:
        return _hello(store, machine, architecture)
    return _host(store, architecture)


def _hello(store: Store, machine: str, architecture: str) -> StoredImage:
    from dockmagic.images.standins import hello, program
    from dockmagic.images.standins.gather import Entry

    if machine not in program.MACHINES:
        raise Unavailable(f"hello-world can't be made for {machine}, only for {' and '.join(program.MACHINES)}")
    data = hello.program(machine, architecture)
    mtime = int(datetime.fromisoformat(hello.MADE.replace("Z", "+00:00")).timestamp())
    entry = Entry("/hello", stat.S_IFREG | 0o755, mtime, len(data), data=data)
    return _add(store, HELLO, [entry], architecture, hello.MADE, "a program that greets", {"Cmd": ["/hello"]})


def _host(store: Store, architecture: str) -> StoredImage:
    from dockmagic.images.standins import host

    entries = host.gather()
    made = max(entry.mtime or 0 for entry in entries)
    created = datetime.fromtimestamp(made, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _add(store, HOST, entries, architecture, created, "programs of this machine", {"Cmd": ["sh"]})


def _add(
    store: Store, name: str, entries: list[Entry], architecture: str, created: str, what: str, runs: dict[str, Any]
) -> StoredImage:
    """Put an image of one layer in the store. The layer is not compressed: it never travels."""
    from dockmagic.images.blobs import BlobLayer
    from dockmagic.images.manifest import OCI_LAYER
    from dockmagic.images.standins import host, packing

    with tempfile.TemporaryFile() as tar:
        packing.write(entries, tar)
        tar.seek(0)
        digest, size = store.content.put(tar)
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {"Env": [f"PATH={host.PATH}"], **runs},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        "history": [
            {
                "created": created,
                "created_by": f"dockmagic: {what}",
                "comment": "made on the spot, not from a registry",
            },
        ],
    }
    layer = BlobLayer(store.content, digest, size, OCI_LAYER, digest)
    image = store.add(json.dumps(config, sort_keys=True, separators=(",", ":")).encode(), [layer])
    store.tag(image.id, Reference.parse(name))
    return store.get(image.id)
