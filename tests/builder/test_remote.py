"""ADD of URLs and git repositories, remote contexts; servers on loopback."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.cases import context_tar
from tests.builder.conftest import Workshop

FILE = b"from afar\n"


class Handler(http.server.CGIHTTPRequestHandler):
    """A file with a date, a tar of a context, and git by its own CGI program."""

    cgi_directories = ["/cgi-bin"]  # noqa: RUF012 - the base class's own way
    have_fork = False  # with it, it would become nobody

    def do_GET(self) -> None:
        if self.path.startswith("/cgi-bin/"):
            super().do_GET()
            return
        tar = context_tar([{"path": "Dockerfile", "type": "file", "mode": "0644", "text": "FROM scratch\nCOPY . /\n"}])
        found = {"/file": FILE, "/context.tar": tar.getvalue(), "/Dockerfile": b"FROM scratch\nCOPY <<E /e\nx\nE\n"}
        data = found.get(self.path)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def git(folder: Path, *args: str) -> str:
    identity = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000", "HOME": str(folder)}
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main", *args],
        cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, **identity},
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a web server."""
    root = tmp_path_factory.mktemp("web")
    patch = pytest.MonkeyPatch()
    patch.chdir(root)
    backend = Path("/usr/lib/git-core/git-http-backend")
    if shutil.which("git") and backend.exists():
        (root / "cgi-bin").mkdir()
        script = root / "cgi-bin" / "git"
        script.write_text(f"#!/bin/sh\nGIT_PROJECT_ROOT={root} GIT_HTTP_EXPORT_ALL=1 exec {backend}\n")
        script.chmod(0o755)
        work = root / "work"
        (work / "sub").mkdir(parents=True)
        (work / "sub" / "f").write_text("first")
        (work / "Dockerfile").write_text("FROM scratch\nCOPY sub/f /f\n")
        git(work, "init", "-q")
        git(work, "add", ".")
        git(work, "commit", "-qm", "one")
        git(work, "tag", "v1")
        (work / "sub" / "f").write_text("second!")
        git(work, "commit", "-qam", "two")
        git(root, "clone", "-q", "--bare", str(work), "repo.git")
        git(root / "repo.git", "config", "safe.directory", "*")
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_address[1]}"
    listener.shutdown()
    listener.server_close()
    patch.undo()


@pytest.fixture
def repository(server: str) -> str:
    """The URL of a git repository with two commits, the first tagged v1."""
    if not Path("cgi-bin/git").exists():
        pytest.skip("git and its http-backend are not installed")
    return f"{server}/cgi-bin/git/repo.git"


def test_a_url_keeps_its_time_and_is_its_owners_alone(workshop: Workshop, server: str) -> None:
    built = workshop.build(
        f"FROM scratch\nADD {server}/file /a/\nADD {server}/file /b\nADD --chmod=644 {server}/file c\n"
    )
    files = built.files()
    assert {path: files[path]["mode"] for path in ("a/file", "b", "c")} == {"a/file": "0600", "b": "0600", "c": "0644"}
    assert files["b"]["sha256"] == hashlib.sha256(FILE).hexdigest()


def test_checksums(workshop: Workshop, server: str) -> None:
    right, wrong = hashlib.sha256(FILE).hexdigest(), "0" * 64
    workshop.build(f"FROM scratch\nADD --checksum=sha256:{right} {server}/file /\n")
    failed = workshop.build(f"FROM scratch\nADD --checksum=sha256:{wrong} {server}/file /\n", fails=True)
    assert failed.error == f"digest mismatch sha256:{right}: sha256:{wrong}"
    assert failed.line == 2


def test_a_url_that_is_not_there(workshop: Workshop, server: str) -> None:
    failed = workshop.build(f"FROM scratch\nADD {server}/gone /\n", fails=True)
    assert failed.error == "invalid response status 404"


def test_archives_from_afar_are_unpacked_on_demand(workshop: Workshop, server: str) -> None:
    built = workshop.build(f"FROM scratch\nADD {server}/context.tar /kept/\nADD --unpack {server}/context.tar /open/\n")
    assert set(built.files()) == {"kept/", "kept/context.tar", "open/", "open/Dockerfile"}


def test_remote_contexts(workshop: Workshop, server: str) -> None:
    assert set(workshop.build("", remote=f"{server}/context.tar").files()) == {"Dockerfile"}
    assert set(workshop.build("", remote=f"{server}/Dockerfile").files()) == {"e"}


def test_git_sources(workshop: Workshop, repository: str) -> None:
    def sizes(source: str, flags: str = "") -> dict[str, int]:
        files = workshop.build(f"FROM scratch\nADD {flags} {source} /\n").files()
        return {path: entry["size"] for path, entry in files.items() if "size" in entry and ".git/" not in path}

    assert sizes(repository)["sub/f"] == len("second!")
    assert sizes(f"{repository}#v1")["sub/f"] == len("first")
    assert sizes(f"{repository}#v1:sub") == {"f": len("first")}
    kept = workshop.build(f"FROM scratch\nADD --keep-git-dir=true {repository} /\n").files()
    assert ".git/HEAD" in kept
    failed = workshop.build(f"FROM scratch\nADD {repository}#nosuch /\n", fails=True)
    assert failed.error.startswith("failed to fetch remote")


def test_a_git_context_and_its_time(workshop: Workshop, repository: str) -> None:
    built = workshop.build("", remote=f"{repository}#v1", build_args={"SOURCE_DATE_EPOCH": "context"})
    assert built.files()["f"]["size"] == len("first")
    assert built.config["created"] == "2023-11-14T22:13:20Z"
