"""``%dockmagic registry``: a small registry on loopback, in the kernel's own process, for where no other is in reach.

It takes what ``docker push`` sends and gives it to ``docker pull`` (the OCI distribution specification's pull and
push), over plain HTTP to this machine only, and is gone, with its images, when the kernel ends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import shutil
import tempfile
import threading
import uuid
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

from dockmagic.commands.errors import CommandError
from dockmagic.views.text import Text

PORT = 5050
BLOB = re.compile(r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]*)/blobs/(?P<digest>sha256:[0-9a-f]{64})")
UPLOAD = re.compile(r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]*)/blobs/uploads/(?P<upload>[0-9a-f]{32})?")
MANIFEST = re.compile(r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]*)/manifests/(?P<reference>[\w.:-]+)")
TAGS = re.compile(r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]*)/tags/list")
LARGEST_MANIFEST = 4 << 20
"""Bytes; the specification asks that a registry take at least this."""


class Registry(Text):
    """A running registry: ``.address`` (host:port), ``.user``, ``.password``, ``.images``, ``.stop()``.

    With ``user`` every request must show that name and the password, which is made up when none is given.
    Raises CommandError when nobody may listen on ``port``; 0 takes a free one.
    """

    def __init__(self, port: int = PORT, user: str = "", password: str = "") -> None:
        self.user = user
        self.password = password or (secrets.token_urlsafe(12) if user else "")
        self._folder = tempfile.TemporaryDirectory(prefix="dockmagic-registry-")
        self.store = _Store(Path(self._folder.name))
        try:
            self._server = _Server(("127.0.0.1", port), partial(_Handler, self))
        except OSError as error:
            self._folder.cleanup()
            raise CommandError(f"no registry on port {port}: {(error.strerror or str(error)).lower()}") from None
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        super().__init__(f"registry at {self.address}" + (f", for the user {user}" if user else ""))
        self._thread = threading.Thread(target=partial(self._server.serve_forever, 0.1), daemon=True)
        self._thread.start()

    @property
    def images(self) -> list[str]:
        """What was pushed, as names that docker pull takes."""
        found = [(n, r) for n, r in sorted(self.store.manifests) if not r.startswith("sha256:")]
        return [f"{self.address}/{name}:{tag}" for name, tag in found]

    def admits(self, authorization: str) -> bool:
        """Whether a request with this header may go on."""
        shown = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return not self.user or hmac.compare_digest(authorization.encode(), f"Basic {shown}".encode())

    def stop(self) -> None:
        """End it, and forget what it holds."""
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()


class _Store:
    """Blobs as files named by their digests, for all repositories alike; manifests in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        """(repository, tag or digest): the manifest and its media type"""

    def blob(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")

    def upload(self, name: str) -> Path:
        return self._folder / f"upload-{name}"

    def finish(self, name: str, digest: str) -> bool:
        """An upload becomes a blob if it is what its digest says."""
        path = self.upload(name)
        with path.open("rb") as data:
            found = hashlib.sha256()
            while chunk := data.read(1 << 20):
                found.update(chunk)
        if f"sha256:{found.hexdigest()}" != digest:
            path.unlink()
            return False
        path.replace(self.blob(digest))
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to print into a notebook."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def __init__(self, registry: Registry, *arguments: object) -> None:
        self._registry = registry
        self._store = registry.store
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """A request is nothing to print into a notebook."""

    def _reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        self.close_connection = True  # what of the request's body was not read would be taken for the next request
        text = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self._reply(status, text, Content_Type="application/json", **headers)

    def _handle(self) -> None:
        if not self._registry.admits(self.headers.get("Authorization", "")):
            challenge = 'Basic realm="dockmagic registry"'
            self._refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)
            return
        path = urlsplit(self.path).path
        if path in {"/v2", "/v2/"}:
            self._reply(200, b"{}", Content_Type="application/json")
        elif match := UPLOAD.fullmatch(path):
            self._upload(match["name"], match["upload"])
        elif match := BLOB.fullmatch(path):
            self._blob(match["digest"])
        elif match := MANIFEST.fullmatch(path):
            self._manifest(match["name"], match["reference"])
        elif match := TAGS.fullmatch(path):
            tags = sorted(r for n, r in self._store.manifests if n == match["name"] and ":" not in r)
            self._reply(200, json.dumps({"name": match["name"], "tags": tags}).encode())
        else:
            self._refuse(404, "UNSUPPORTED", "not found")

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _handle  # http.server's names

    def _blob(self, digest: str) -> None:
        path = self._store.blob(digest)
        if self.command not in {"GET", "HEAD"}:
            self._refuse(405, "UNSUPPORTED", "blobs come by uploads")
        elif not path.exists():
            self._refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        else:
            size = str(path.stat().st_size)
            kind = "application/octet-stream"
            if self.command == "HEAD":
                self._reply(200, Content_Length=size, Content_Type=kind, Docker_Content_Digest=digest)
                return
            self._reply(200, Content_Length=size, Content_Type=kind, Docker_Content_Digest=digest)
            with path.open("rb") as data:
                shutil.copyfileobj(data, cast(BinaryIO, self.wfile))

    def _upload(self, name: str, upload: str | None) -> None:
        digest = parse_qs(urlsplit(self.path).query).get("digest", [""])[0]
        if upload is None:
            upload = uuid.uuid4().hex
            self._store.upload(upload).touch()
        elif not self._store.upload(upload).exists():
            self._refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
            return
        with self._store.upload(upload).open("ab") as out:
            self._receive(out)
            size = out.tell()
        place = f"/v2/{name}/blobs/uploads/{upload}"
        if not digest:
            self._reply(202, Location=place, Docker_Upload_UUID=upload, Range=f"0-{max(size - 1, 0)}")
        elif self._store.finish(upload, digest):
            self._reply(201, Location=f"/v2/{name}/blobs/{digest}", Docker_Content_Digest=digest)
        else:
            self._refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")

    def _receive(self, out: BinaryIO) -> None:
        """The request's body, whole or in chunks."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                out.write(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() not in {b"\r\n", b"\n", b""}:
                pass
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (data := self.rfile.read(min(left, 1 << 20))):
            out.write(data)
            left -= len(data)

    def _manifest(self, name: str, reference: str) -> None:
        manifests = self._store.manifests
        if self.command == "PUT":
            length = int(self.headers.get("Content-Length") or 0)
            if length > LARGEST_MANIFEST:
                self._refuse(413, "SIZE_INVALID", "the manifest is too large")
                return
            data = self.rfile.read(length)
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            kept = (data, self.headers.get("Content-Type", "application/json"))
            manifests[name, reference] = manifests[name, digest] = kept
            self._reply(201, Location=f"/v2/{name}/manifests/{digest}", Docker_Content_Digest=digest)
        elif (name, reference) not in manifests:
            self._refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        else:
            data, kind = manifests[name, reference]
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            size = str(len(data))
            self._reply(200, data, Content_Type=kind, Content_Length=size, Docker_Content_Digest=digest)
