"""A registry in the test's own process that can misbehave as the test says."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dockmagic.images.manifest import DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class FakeRegistry:
    """Blobs and manifests in memory. The fields that begin with a verb make it misbehave."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """(method, path with query, headers) of every request, in order"""
        self.uploads: dict[str, bytearray] = {}
        self.auth = ""
        """"basic" or "bearer": what a request must show"""
        self.users: dict[str, str] = {}
        self.anonymous = True
        """whether the token server gives tokens without a login"""
        self.tokens: set[str] = set()
        self.token_url = ""
        self.answer: Callable[[str, str], tuple[int, dict[str, str], bytes] | None] = lambda method, path: None
        """looked at first: a status, headers and body to answer with instead"""
        self.redirect_blobs_to = ""
        self.break_blob_after: list[int] = []
        """bytes after which the next transfers of a blob break"""
        self.break_upload_after: list[int] = []
        self.ignore_ranges = False
        self.allow_mounts = True
        self.largest_patch = 0
        """bytes of the biggest PATCH that is taken; 0: any"""
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.registry = self
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def speak_tls(self, certificate: str) -> None:
        """From now on TLS, with the key and certificate in the file ``certificate``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def add_blob(self, repository: str, data: bytes) -> str:
        self.blobs[repository, digest_of(data)] = data
        return digest_of(data)

    def add_manifest(self, repository: str, tag: str, document: Any, kind: str) -> str:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for reference in filter(None, (tag, digest_of(data))):
            self.manifests[repository, reference] = (data, kind)
        return digest_of(data)

    def add_image(
        self, repository: str, tag: str, config: bytes, layers: list[bytes], layer_type: str = DOCKER_LAYER_GZIP
    ) -> str:
        """Put an image there; the manifest's digest."""
        self.add_blob(repository, config)
        document = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "size": len(config), "digest": digest_of(config)},
            "layers": [
                {"mediaType": layer_type, "size": len(layer), "digest": self.add_blob(repository, layer)}
                for layer in layers
            ],
        }
        return self.add_manifest(repository, tag, document, DOCKER_MANIFEST)

    def asked(self, method: str, part: str) -> list[dict[str, str]]:
        """The headers of the requests with ``method`` whose path has ``part`` in it."""
        return [headers for how, path, headers in self.requests if how == method and part in path]


@contextlib.contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    registry = FakeRegistry()
    try:
        yield registry
    finally:
        registry.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: FakeRegistry

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what some tests are about; nothing is printed of them."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self._drain()
        self._reply(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), headers)

    def _drain(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self) -> None:
        registry = self.server.registry
        registry.requests.append((self.command, self.path, dict(self.headers)))
        said = registry.answer(self.command, self.path)
        if said is not None:
            self._drain()
            return self._reply(said[0], said[2], said[1])
        parts = urlsplit(self.path)
        if parts.path == "/token":
            return self._token()
        if not self._allowed():
            return None
        if parts.path == "/v2/":
            return self._reply(200, b"{}")
        for pattern, work in (
            (r"/v2/(.+)/manifests/([^/]+)", self._manifest),
            (r"/v2/(.+)/blobs/(sha256:[^/]+)", self._blob),
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self._uploads),
            (r"/v2/(.+)/tags/list", self._tags),
        ):
            match = re.fullmatch(pattern, parts.path)
            if match:
                return work(*match.groups())
        return self._error(404, "NAME_UNKNOWN", "repository name not known to registry")

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _handle

    def _allowed(self) -> bool:
        registry = self.server.registry
        shown = self.headers.get("Authorization", "")
        if registry.auth == "basic" and shown not in [_basic(*user) for user in registry.users.items()]:
            self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": 'Basic realm="fake"'})
            return False
        if registry.auth == "bearer" and shown.removeprefix("Bearer ") not in registry.tokens:
            realm = registry.token_url or f"{registry.url}/token"
            header = f'Bearer realm="{realm}",service="fake",scope="repository:x:pull"'
            self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": header})
            return False
        return True

    def _token(self) -> None:
        registry = self.server.registry
        if self.command == "POST":
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            good = form.get("refresh_token") == ["refresh-secret"]
        else:
            shown = self.headers.get("Authorization")
            good = shown in [_basic(*user) for user in registry.users.items()] or (not shown and registry.anonymous)
        if not good:
            return self._reply(401, b'{"details": "incorrect username or password"}')
        token = f"token-{len(registry.tokens)}"
        registry.tokens.add(token)
        answer = {"token": token}
        if "offline_token=true" in self.path:
            answer["refresh_token"] = "refresh-secret"
        return self._reply(200, json.dumps(answer).encode())

    def _manifest(self, repository: str, reference: str) -> None:
        registry = self.server.registry
        if self.command == "PUT":
            data = self.rfile.read(int(self.headers["Content-Length"]))
            document = json.loads(data)
            for wanted in [document["config"], *document["layers"]]:
                if (repository, wanted["digest"]) not in registry.blobs:
                    return self._error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
            registry.add_manifest(repository, reference, data, self.headers["Content-Type"])
            return self._reply(201)
        found = registry.manifests.get((repository, reference))
        if found is None:
            return self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        data, kind = found
        headers = {"Content-Type": kind, "Docker-Content-Digest": digest_of(data), "Content-Length": str(len(data))}
        return self._reply(200, data, headers)

    def _blob(self, repository: str, digest: str) -> None:
        registry = self.server.registry
        data = registry.blobs.get((repository, digest))
        if data is None:
            return self._error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if registry.redirect_blobs_to and self.command == "GET":
            where = f"{registry.redirect_blobs_to}/v2/{repository}/blobs/{digest}?signature=cdn-secret"
            return self._reply(307, b"", {"Location": where})
        begin = 0
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match and not registry.ignore_ranges:
            begin = int(match[1])
        rest = data[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(rest)))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return None
        if registry.break_blob_after:
            self.wfile.write(rest[: registry.break_blob_after.pop(0)])
            self.close_connection = True
            return None
        self.wfile.write(rest)
        return None

    def _uploads(self, repository: str, name: str) -> None:
        registry = self.server.registry
        query = parse_qs(urlsplit(self.path).query)
        where = f"/v2/{repository}/blobs/uploads/"
        if self.command == "POST":
            self._drain()
            if "mount" in query and registry.allow_mounts:
                data = registry.blobs.get((query["from"][0], query["mount"][0]))
                if data is not None:
                    registry.add_blob(repository, data)
                    return self._reply(201)
            name = uuid.uuid4().hex
            registry.uploads[name] = bytearray()
            return self._reply(202, b"", {"Location": where + name + "?state=x"})
        upload = registry.uploads[name]
        if self.command == "DELETE":
            del registry.uploads[name]
            return self._reply(204)
        if self.command == "GET":
            return self._reply(204, b"", {"Range": f"0-{max(0, len(upload) - 1)}"})
        if self.command == "PATCH":
            return self._patch(upload, where + name)
        data = bytes(registry.uploads.pop(name)) + self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if digest_of(data) != query["digest"][0]:
            return self._error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        registry.add_blob(repository, data)
        return self._reply(201)

    def _patch(self, upload: bytearray, where: str) -> None:
        registry = self.server.registry
        length = int(self.headers["Content-Length"])
        if registry.largest_patch and length > registry.largest_patch:
            self._drain()
            return self._reply(413)
        begin = int(self.headers.get("Content-Range", "0-").partition("-")[0])
        if begin != len(upload):
            return self._error(416, "RANGE_INVALID", "invalid content range")
        if registry.break_upload_after:
            upload += self.rfile.read(min(length, registry.break_upload_after.pop(0)))
            self.close_connection = True
            return None
        upload += self.rfile.read(length)
        return self._reply(202, b"", {"Location": where, "Range": f"0-{len(upload) - 1}"})

    def _tags(self, repository: str) -> None:
        """In pages of one tag each."""
        tags = sorted(tag for name, tag in self.server.registry.manifests if name == repository and ":" not in tag)
        last = parse_qs(urlsplit(self.path).query).get("last", [""])[0]
        rest = [tag for tag in tags if tag > last]
        headers = {"Link": f'</v2/{repository}/tags/list?last={rest[0]}>; rel="next"'} if len(rest) > 1 else {}
        self._reply(200, json.dumps({"name": repository, "tags": rest[:1]}).encode(), headers)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
