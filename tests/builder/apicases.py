"""BuildKit's own integration cases through the engine's API: built by ``POST /build``, seen as clients see images."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import docker
from urllib3.filepost import encode_multipart_formdata

from tests.builder.cases import (
    Case,
    base_images,
    compare_image,
    context_tar,
    folder_entries,
    local_difference,
    normal_error,
    tar_entries,
    with_dockerfile,
)


def _archive(name: str, config: Case, tars: list[bytes]) -> bytes:
    """What ``docker load`` takes: an image of this config and these layers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(path: str, data: bytes) -> str:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            return path

        layers = [add(f"{number}.tar", data) for number, data in enumerate(tars)]
        described = {"Config": add("config.json", json.dumps(config).encode()), "RepoTags": [name], "Layers": layers}
        add("manifest.json", json.dumps([described]).encode())
    return out.getvalue()


class Saved:
    """The images in a saved archive or an OCI layout, which share layers."""

    def __init__(self, data: io.BytesIO, known: dict[str, list[Case]]) -> None:
        """``known`` remembers what layers hold, by diff id."""
        self._tar = tarfile.open(fileobj=data)  # noqa: SIM115 - as long as this
        self._known = known

    def _read(self, name: str) -> bytes:
        reader = self._tar.extractfile(name)
        assert reader is not None, name
        return reader.read()

    def _blob(self, descriptor: Case) -> bytes:
        return self._read("blobs/sha256/" + str(descriptor["digest"]).removeprefix("sha256:"))

    def images(self) -> list[tuple[bytes, list[list[Case]]]]:
        """The config's bytes, and every layer's entries."""
        found = []
        listed_all = json.loads(self._read("index.json"))["manifests"]
        if "index" in listed_all[0]["mediaType"]:  # of several platforms
            listed_all = json.loads(self._blob(listed_all[0]))["manifests"]
        for listed in listed_all:
            manifest = json.loads(self._blob(listed))
            data = self._blob(manifest["config"])
            diff_ids = json.loads(data)["rootfs"]["diff_ids"] or []
            layers = []
            for descriptor, diff_id in zip(manifest["layers"], diff_ids, strict=True):
                if diff_id not in self._known:
                    self._known[diff_id] = tar_entries(io.BytesIO(self._blob(descriptor)))
                layers.append(self._known[diff_id])
            found.append((data, layers))
        return found


class ApiDriver:
    """Builds cases on the engine at ``url``."""

    def __init__(self, url: str, folder: Path, conformance: Path) -> None:
        self._api: Any = docker.APIClient(base_url=url, timeout=120)
        self._folder = folder
        self._layers: dict[str, list[Case]] = {}
        for name, config, tars in base_images(conformance):
            for told in self._api.load_image(_archive(f"{name}:latest", config, tars)):
                assert "error" not in told, told

    def close(self) -> None:
        self._api.close()

    def run(self, case: Case) -> list[str]:
        """What differs from what BuildKit did."""
        expected = case["expect"]
        local = Path(tempfile.mkdtemp(dir=self._folder)) if expected["local_output"] is not None else None
        images = expected["images"] or []
        layout = self._folder / "layout.tar" if len(images) > 1 else None
        id, error = self._build(case, local, layout)
        if error is not None or expected["error"] is not None:
            found, wanted = (normal_error(text) if text is not None else None for text in (error, expected["error"]))
            return [] if found == wanted else [f"error: {found!r} instead of {wanted!r}"]
        problems: list[str] = []
        if images:
            saved = Saved(self._saved(id) if layout is None else io.BytesIO(layout.read_bytes()), self._layers)
            for (data, layers), wanted in zip(saved.images(), images, strict=True):
                problems += compare_image(json.loads(data), layers, wanted)
            if layout is None:
                problems += self._looked_at(id, json.loads(saved.images()[0][0]))
        if local is not None:
            problems += local_difference(folder_entries(local), expected["local_output"])
        return problems

    def _build(self, case: Case, local: Path | None, layout: Path | None) -> tuple[str, str | None]:
        """The image's id, and the error of a build that failed."""
        files, filename = with_dockerfile(case)
        fields: list[tuple[str, tuple[str, bytes]]] = []
        fields += [("secret", (name, value.encode())) for name, value in case["secrets"].items()]
        for name, entries in (case["other_mounts"] or {}).items():
            fields.append(("named-context", (name, context_tar(entries).getvalue())))
        fields += [("attribute", (name, str(value).encode())) for name, value in case["attrs"].items()]
        outputs = [{"type": "local", "dest": str(local)}] if local else []
        if layout:
            outputs.append({"type": "oci", "dest": str(layout)})
        if outputs:
            outputs.append({"type": "image"})
        fields += [("output", ("", json.dumps(output).encode())) for output in outputs]
        context = context_tar(files).getvalue()
        body, kind = context, "application/x-tar"
        if fields:
            body, kind = encode_multipart_formdata([*fields, ("context", ("", context))])
        answer = self._api._post(
            self._api._url("/build"), data=body, headers={"Content-Type": kind},
            params={"version": "2", "dockerfile": filename},
        )  # fmt: skip
        if answer.status_code >= 400:
            return "", str(answer.json()["message"])
        id = ""
        for line in answer.content.splitlines():
            message = json.loads(line) if line.strip() else {}
            if "error" in message:
                return "", str(message["error"])
            if message.get("id") == "moby.image.id":
                id = message["aux"]["ID"]
        return id, None

    def _saved(self, id: str) -> io.BytesIO:
        return io.BytesIO(b"".join(self._api.get_image(id)))

    def _looked_at(self, id: str, config: Case) -> list[str]:
        """What ``inspect`` and ``history`` say otherwise than the config."""
        problems = []
        told = self._api.inspect_image(id)
        if told["Id"] != id or told["RootFS"].get("Layers", []) != (config["rootfs"]["diff_ids"] or []):
            problems.append("inspect: another id, or other layers")
        for key, value in config["config"].items():
            if value and told["Config"].get(key) != value:
                problems.append(f"inspect: {key} is {told['Config'].get(key)!r} instead of {value!r}")
        lines = [line["CreatedBy"] for line in reversed(self._api.history(id))]
        if lines != [entry.get("created_by", "") for entry in config.get("history") or []]:
            problems.append(f"history: {lines}")
        return problems
