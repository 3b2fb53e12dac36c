"""What comes from elsewhere: files over HTTP and git repositories, for ADD and for build contexts."""

from __future__ import annotations

import email.utils
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dockmagic.dockerfile.gitref import GitReference
from dockmagic.errors import DockmagicError, InvalidParameter

_CHUNK = 1 << 20
_TIMEOUT = 60.0
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_SAFE = (
    "-c", "protocol.ext.allow=never", "-c", "protocol.file.allow=user", "-c", "core.hooksPath=/dev/null",
    "-c", "init.defaultBranch=master", "-c", "advice.detachedHead=false",
)  # fmt: skip


class FetchFailed(DockmagicError):
    """A URL or repository can't be had."""


@dataclass(frozen=True)
class Download:
    """A file fetched over HTTP. ``modified`` is Last-Modified in seconds, None without one."""

    path: Path
    size: int
    digest: str
    modified: int | None


@dataclass(frozen=True)
class Checkout:
    """A git repository's files, or those of a folder of it. ``committed`` is the committer's time in seconds."""

    path: Path
    commit: str
    committed: int


class Remotes:
    """Fetches for one build, each thing once, into a folder that goes with the build."""

    def __init__(self, folder: Path, cancelled: threading.Event) -> None:
        self._folder = folder
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._busy: dict[object, threading.Lock] = {}
        self._done: dict[object, Download | Checkout] = {}

    def _once(self, key: object, fetch: Callable[[], Download | Checkout]) -> Download | Checkout:
        with self._lock:
            busy = self._busy.setdefault(key, threading.Lock())
        with busy:
            if key not in self._done:
                self._done[key] = fetch()
            return self._done[key]

    def http(self, url: str, checksum: str = "", progress: Callable[[int, int], None] = lambda *_: None) -> Download:
        """The file at ``url``; ``checksum`` is ``algorithm:hex``, ``progress`` gets bytes so far and in all."""
        found = self._once(("http", url, checksum), lambda: self._download(url, checksum, progress))
        assert isinstance(found, Download), "keys of HTTP give downloads"
        return found

    def _download(self, url: str, checksum: str, progress: Callable[[int, int], None]) -> Download:
        algorithm, _, wanted = checksum.partition(":") if checksum else ("sha256", "", "")
        hashers = {name: hashlib.new(name) for name in {"sha256", algorithm}}
        request = urllib.request.Request(url, headers={"User-Agent": "dockmagic", "Accept-Encoding": "identity"})
        if request.type not in {"http", "https"}:
            raise InvalidParameter(f"unsupported URL scheme {request.type}")
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix="http-")
        size = 0
        try:
            with os.fdopen(descriptor, "wb") as out, urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                total = int(answer.headers.get("Content-Length") or 0)
                modified = _http_time(answer.headers.get("Last-Modified"))
                while chunk := answer.read(_CHUNK):
                    if self._cancelled.is_set():
                        raise FetchFailed("context canceled")
                    for hasher in hashers.values():
                        hasher.update(chunk)
                    out.write(chunk)
                    size += len(chunk)
                    progress(size, total)
        except urllib.error.HTTPError as error:
            raise FetchFailed(f"invalid response status {error.code}") from error
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise FetchFailed(f'Get "{url}": {reason}') from error
        found = hashers[algorithm].hexdigest()
        if wanted and found != wanted:
            raise InvalidParameter(f"digest mismatch {algorithm}:{found}: {checksum}")
        return Download(Path(name), size, "sha256:" + hashers["sha256"].hexdigest(), modified)

    def git(self, reference: GitReference, *, keep_git_dir: bool = False, checksum: str = "") -> Checkout:
        """The repository's files at the reference; ``checksum`` is (the beginning of) the commit it has to be."""
        key = ("git", reference, keep_git_dir, checksum)
        found = self._once(key, lambda: self._clone(reference, keep_git_dir, checksum or reference.checksum))
        assert isinstance(found, Checkout), "keys of git give checkouts"
        return found

    def _clone(self, reference: GitReference, keep_git_dir: bool, checksum: str) -> Checkout:
        if shutil.which("git") is None:
            raise FetchFailed("git is needed for git sources, and is not installed")
        folder = Path(tempfile.mkdtemp(dir=self._folder, prefix="git-"))
        self._git(folder, "init", "-q")
        self._git(folder, "remote", "add", "origin", "--", reference.remote)
        commit = self._fetch(folder, reference)
        if checksum and not commit.startswith(checksum):
            raise InvalidParameter(f"expected checksum to match {checksum}, got {commit}")
        self._git(folder, "checkout", "-q", "--force", commit)
        if reference.submodules is not False and (folder / ".gitmodules").exists():
            self._git(folder, "submodule", "update", "-q", "--init", "--recursive", "--depth=1")
        committed = int(self._git(folder, "show", "-s", "--format=%ct", commit).strip())
        path = folder
        if reference.subdir:
            path = (folder / reference.subdir.lstrip("/")).resolve()
            if folder.resolve() not in [path, *path.parents] or not path.is_dir():
                raise FetchFailed(f"subdir {reference.subdir!r} not found in the repository")
        if not keep_git_dir:
            shutil.rmtree(folder / ".git")
        return Checkout(path, commit, committed)

    def _fetch(self, folder: Path, reference: GitReference) -> str:
        wanted = reference.ref or "HEAD"
        try:
            self._git(folder, "fetch", "-q", "--depth=1", "--no-tags", "origin", wanted)
            return self._git(folder, "rev-parse", "FETCH_HEAD^{commit}").strip()
        except FetchFailed:
            if not re.fullmatch("[0-9a-f]{7,64}", wanted):
                raise
        # A server that does not give a commit by its number, or a shortened one: everything, then.
        self._git(folder, "fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        return self._git(folder, "rev-parse", f"{wanted}^{{commit}}").strip()

    def _git(self, folder: Path, *args: str) -> str:
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self._folder)}
        done = subprocess.run(
            ["git", *_SAFE, *args],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code: {done.returncode}"]
            raise FetchFailed(f"failed to fetch remote: git {args[0]}: {lines[-1]}")
        return done.stdout


def _http_time(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp())
    except (TypeError, ValueError):
        return None
