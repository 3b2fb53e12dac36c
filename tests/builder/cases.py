"""BuildKit's own integration cases: their contexts, what they compare, and a Builder that has their base images."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

Case = dict[str, Any]


def data_of(entry: Case) -> bytes:
    """A context file's bytes: the text's encoding is the one that its digest says."""
    text = entry.get("text") or ""
    for encoding in ("utf-8", "latin-1"):
        try:
            data = text.encode(encoding, "surrogateescape")
        except UnicodeEncodeError:
            continue
        if hashlib.sha256(data).hexdigest() == entry.get("sha256"):
            return data
    return bytes(text.encode("utf-8", "surrogateescape"))


def context_tar(entries: list[Case]) -> io.BytesIO:
    """A context as docker's clients send it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry["path"])
            info.mode, info.mtime = int(entry["mode"], 8), 1_700_000_000
            data = b""
            if entry["type"] == "dir":
                info.type = tarfile.DIRTYPE
            elif entry["type"] == "symlink":
                info.type, info.linkname = tarfile.SYMTYPE, entry["linkname"]
            else:
                data = data_of(entry)
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


def layer_entries(layer: Any) -> list[Case]:
    """What a layer's tar holds, in the cases' shape."""
    with layer.open_tar() as stream:
        return tar_entries(stream)


def tar_entries(stream: Any) -> list[Case]:
    """What a tar holds, plain or compressed."""
    found = []
    with tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            name = member.name + ("/" if member.isdir() else "")
            entry: Case = {
                "path": name, "type": member.type.decode(), "mode": f"{member.mode:04o}",
                "uid": member.uid, "gid": member.gid,
            }  # fmt: skip
            if member.issym() or member.islnk():
                entry["linkname"] = member.linkname
            if member.isreg():
                reader = tar.extractfile(member)
                data = reader.read() if reader else b""
                entry["size"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
            found.append(entry)
    return found


def folder_entries(root: Path) -> list[Case]:
    """A local output's files, in the cases' shape."""
    found: list[Case] = []
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder) / name
            entry: Case = {
                "path": str(path.relative_to(root)),
                "linkname": "",
                "mode": f"{path.lstat().st_mode & 0o7777:04o}",
            }
            if path.is_symlink():
                entry |= {"type": "symlink", "linkname": os.readlink(path)}
            elif path.is_dir():
                entry["type"] = "dir"
            else:
                data = path.read_bytes()
                entry |= {"type": "file", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            found.append(entry)
    return sorted(found, key=lambda entry: str(entry["path"]))


def only(entry: Case, keys: tuple[str, ...]) -> Case:
    return {key: entry[key] for key in keys if key in entry}


LAYER_KEYS = ("path", "type", "mode", "uid", "gid", "linkname", "size", "sha256")
LOCAL_KEYS = ("path", "type", "linkname", "size", "sha256")


def local_entries(entries: list[Case]) -> list[Case]:
    """A local output's entries, comparable: which name of a hard link is the first, and the sticky bit, were lost in
    the cases; /etc/group of the base image was another one when they were made."""
    made = []
    for entry in sorted(entries, key=lambda entry: str(entry["path"])):
        if entry["path"] == "etc/group":
            continue
        one = only(entry, LOCAL_KEYS) | {"mode": f"{int(entry['mode'], 8) & 0o777:04o}"}
        if entry["type"] != "symlink":
            one.pop("linkname", None)
        made.append(one)
    return made


def _difference(ours: list[Case], theirs: list[Case]) -> str:
    more = [entry for entry in ours if entry not in theirs]
    less = [entry for entry in theirs if entry not in ours]
    return f"ours alone {more}, theirs alone {less}" if more or less else "another order"


def local_difference(ours: list[Case], theirs: list[Case]) -> list[str]:
    """What is otherwise in a local output."""
    mine, other = local_entries(ours), local_entries(theirs)
    return [] if mine == other else [f"local output: {_difference(mine, other)}"]


def compare_image(config: Case, layers: list[list[Case]], wanted: Case) -> list[str]:
    """What differs between an image and a case's, layer by layer."""
    problems = []
    ours, theirs = normal_config(config), normal_config(wanted["config"])
    for key in sorted({*ours, *theirs}):
        if key == "history":
            continue
        if ours.get(key) != theirs.get(key):
            problems.append(f"{key}: {ours.get(key)!r} instead of {theirs.get(key)!r}")
    if ours["history"] != theirs["history"]:
        problems.append(f"history: {_difference(ours['history'], theirs['history'])}")
    if len(layers) != len(wanted["layers"]):
        return [*problems, f"{len(layers)} layers instead of {len(wanted['layers'])}"]
    for number, (layer, described) in enumerate(zip(layers, wanted["layers"], strict=True)):
        if "entries" not in described:
            continue
        found = [only(entry, LAYER_KEYS) for entry in layer]
        entries = [only(entry, LAYER_KEYS) for entry in described["entries"]]
        if found != entries:
            problems.append(f"layer {number}: {_difference(found, entries)}")
    return problems


def with_dockerfile(case: Case) -> tuple[list[Case], str]:
    """A case's context with its Dockerfile, and that one's name: hidden when it came from a folder of its own."""
    files, filename = list(case["context"]), case["filename"]
    if any(entry["path"] == filename for entry in files):
        return files, filename
    filename = ".hidden.dockerfile"
    files.append({"path": filename, "type": "file", "mode": "0600", "text": case["dockerfile"]})
    files.append({"path": f"{filename}.dockerignore", "type": "file", "mode": "0600", "text": ".hidden*\n"})
    return files, filename


def base_images(conformance: Path) -> list[tuple[str, Case, list[bytes]]]:
    """busybox and alpine as the cases had them: name, config, layers' tars."""
    cases = {case["id"]: case for case in json.loads((conformance / "integration_cases.json").read_text())}
    rootfs = (conformance / "busybox-rootfs.tar").read_bytes()
    release = context_tar(
        [
            {"path": "etc", "type": "dir", "mode": "0755"},
            {"path": "etc/alpine-release", "type": "file", "mode": "0644", "text": "3.99\n"},
            {"path": "etc/os-release", "type": "file", "mode": "0644", "text": "ID=alpine\n"},
        ]
    ).getvalue()
    found = []
    for name, source, tars in (
        ("busybox", "TestGlobalArg#1", [rootfs]),
        ("alpine", "TestNamedImageContextPlatform#1", [rootfs, release]),
    ):
        diff_ids = ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
        config = {
            **cases[source]["expect"]["images"][0]["config"],
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        found.append((name, config, tars))
    return found


def normal_error(text: str) -> str:
    """Without the names that are made up anew each time."""
    return re.sub(r"of ref \S+::\S+:", "of ref X:", text.removeprefix("failed to solve: "))


def normal_config(config: Case) -> Case:
    """Without times and digests, which differ from one build to the next."""
    made = {key: value for key, value in config.items() if key not in {"created", "rootfs", "history"}}
    made["created"] = config.get("created") is not None
    made["history"] = [
        {**{key: value for key, value in entry.items() if key != "created"}, "created": "created" in entry}
        for entry in config.get("history") or []
    ]
    return made


class Driver:
    """A store with the two base images, and a Builder on it."""

    def __init__(self, root: Path, conformance: Path) -> None:
        from dockmagic.runtime import open_runtime

        self.runtime = open_runtime(root / "runtime")
        from dockmagic.builder.build import Builder
        from dockmagic.database import Database
        from dockmagic.errors import NotFound
        from dockmagic.images.content import Content
        from dockmagic.images.registry import Registry
        from dockmagic.images.snapshots import open_snapshots
        from dockmagic.images.store import Store

        class Nothing(Registry):
            """A registry that answers, and has nothing: there is no internet in a test."""

            def pull(self, *args: Any, **kwargs: Any) -> Any:
                raise NotFound("manifest unknown")

        self.root = root
        if disk := os.environ.get("DOCKMAGIC_TEST_DISK"):  # a disk that can be full, in our own mount namespace
            from dockmagic.runtime import libc

            (root / "snapshots").mkdir()
            libc.mount("tmpfs", str(root / "snapshots"), "tmpfs", 0, f"size={disk}")
        database = Database(root / "state.db")
        capability = self.runtime.capability
        content = Content(root / "content")
        snapshots = open_snapshots(
            root / "snapshots", content, database, overlay=capability.overlay, id_mapping=capability.id_mapping
        )
        self.store = Store(root / "images", database, snapshots)
        self.builder = Builder(self.store, Nothing(self.store), self.runtime, database, root / "builder")
        self._bases(conformance)

    def _bases(self, conformance: Path) -> None:
        from dockmagic.images.blobs import BlobLayer

        for name, config, tars in base_images(conformance):
            layers = []
            for tar, diff_id in zip(tars, config["rootfs"]["diff_ids"], strict=True):
                digest, size = self.store.content.put(gzip.compress(tar, mtime=0))
                media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
                layers.append(BlobLayer(self.store.content, digest, size, media_type, diff_id))
            image = self.store.add(json.dumps(config).encode(), layers)
            self.store.tag(image.id, name)
