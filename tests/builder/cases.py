"""BuildKit's own integration cases against the Builder.

A program: ``python -m tests.builder.cases CASES RESULT [PART…]``.

It runs as a process of its own, for the runtime has to be opened before any thread. The result is JSON: for each case
an id and what differs (nothing: it passed). PARTs choose cases by a part of their id.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import sys
import tarfile
import tempfile
import threading
import time
import traceback
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
    found = []
    with layer.open_tar() as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
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
        cases = {case["id"]: case for case in json.loads((conformance / "integration_cases.json").read_text())}
        rootfs = (conformance / "busybox-rootfs.tar").read_bytes()
        busybox = cases["TestGlobalArg#1"]["expect"]["images"][0]["config"]
        alpine = cases["TestNamedImageContextPlatform#1"]["expect"]["images"][0]["config"]
        release = context_tar(
            [
                {"path": "etc", "type": "dir", "mode": "0755"},
                {"path": "etc/alpine-release", "type": "file", "mode": "0644", "text": "3.99\n"},
                {"path": "etc/os-release", "type": "file", "mode": "0644", "text": "ID=alpine\n"},
            ]
        ).getvalue()
        self._image("busybox", busybox, [rootfs])
        self._image("alpine", alpine, [rootfs, release])

    def _image(self, name: str, config: Case, tars: list[bytes]) -> None:
        from dockmagic.images.blobs import BlobLayer

        layers = []
        for tar in tars:
            digest, size = self.store.content.put(gzip.compress(tar, mtime=0))
            diff_id = "sha256:" + hashlib.sha256(tar).hexdigest()
            media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
            layers.append(BlobLayer(self.store.content, digest, size, media_type, diff_id))
        config = {**config, "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}}
        image = self.store.add(json.dumps(config).encode(), layers)
        self.store.tag(image.id, name)

    def run(self, case: Case) -> list[str]:
        """What differs from what BuildKit did."""
        from dockmagic.builder.request import BuildError, BuildRequest

        expected = case["expect"]
        local = Path(tempfile.mkdtemp(dir=self.root)) if expected["local_output"] is not None else None
        files, filename = list(case["context"]), case["filename"]
        if not any(entry["path"] == filename for entry in files):  # it came from a folder of its own
            text = case["dockerfile"]
            filename = ".hidden.dockerfile"
            files.append({"path": filename, "type": "file", "mode": "0600", "text": text})
            files.append({"path": f"{filename}.dockerignore", "type": "file", "mode": "0600", "text": ".hidden*\n"})
        request = BuildRequest(
            context=context_tar(files),
            dockerfile=filename,
            attributes=dict(case["attrs"]),
            secrets={name: value.encode() for name, value in case["secrets"].items()},
            named_contexts={name: context_tar(files) for name, files in (case["other_mounts"] or {}).items()},
            outputs=[{"type": "local", "dest": str(local)}] if local else [],
        )
        logs: list[bytes] = []
        try:
            result = self.builder.build(
                request, lambda status: logs.extend(entry.msg for entry in status.logs), threading.Event()
            )
        except BuildError as error:
            if expected["error"] is None:
                return [f"error: {error}", *[f"log: {line!r}" for line in logs[-8:]]]
            found, wanted = normal_error(str(error)), normal_error(expected["error"])
            return [] if found == wanted else [f"error: {found!r} instead of {wanted!r}"]
        if expected["error"] is not None:
            return [f"no error instead of {expected['error']!r}"]
        problems = []
        images = [self.store.get(id) for id in result.platforms.values()]
        for image, wanted in zip(images, expected["images"] or images, strict=True):
            if expected["images"]:
                problems += self._compare(image, wanted)
        if local is not None:
            theirs, ours = local_entries(expected["local_output"]), local_entries(folder_entries(local))
            if ours != theirs:
                problems.append(f"local output: {_difference(ours, theirs)}")
        return problems

    def _compare(self, image: Any, wanted: Case) -> list[str]:
        problems = []
        ours, theirs = normal_config(image.config), normal_config(wanted["config"])
        for key in sorted({*ours, *theirs}):
            if key == "history":
                continue
            if ours.get(key) != theirs.get(key):
                problems.append(f"{key}: {ours.get(key)!r} instead of {theirs.get(key)!r}")
        if ours["history"] != theirs["history"]:
            problems.append(f"history: {_difference(ours['history'], theirs['history'])}")
        if len(image.layers) != len(wanted["layers"]):
            return [*problems, f"{len(image.layers)} layers instead of {len(wanted['layers'])}"]
        for number, (layer, described) in enumerate(zip(image.layers, wanted["layers"], strict=True)):
            if "entries" not in described:
                continue
            found = [only(entry, LAYER_KEYS) for entry in layer_entries(layer)]
            entries = [only(entry, LAYER_KEYS) for entry in described["entries"]]
            if found != entries:
                problems.append(f"layer {number}: {_difference(found, entries)}")
        return problems


def _difference(ours: list[Case], theirs: list[Case]) -> str:
    more = [entry for entry in ours if entry not in theirs]
    less = [entry for entry in theirs if entry not in ours]
    return f"ours alone {more}, theirs alone {less}" if more or less else "another order"


def main(conformance: Path, result: Path, parts: list[str]) -> None:
    """Run the cases in their order, for later ones of a test build on the cache of earlier ones."""
    with tempfile.TemporaryDirectory(prefix="dockmagic-cases-") as folder:
        driver = Driver(Path(folder), conformance)
        outcomes = []
        for case in json.loads((conformance / "integration_cases.json").read_text()):
            if parts and not any(part in case["id"] for part in parts):
                continue
            begin = time.monotonic()
            try:
                problems = driver.run(case)
            except Exception:  # whatever goes wrong in one case is that case's failure
                problems = [traceback.format_exc()[-1500:]]
            outcomes.append({"id": case["id"], "problems": problems, "seconds": time.monotonic() - begin})
            result.write_text(json.dumps(outcomes))
        driver.runtime.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
