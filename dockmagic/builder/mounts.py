"""``RUN --mount``: binds from the context, stages and images, caches that stay, secrets, ssh agents, tmpfs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dockmagic import inroot
from dockmagic.builder.cache import BuildCache
from dockmagic.builder.copying import Copier, CopyOptions
from dockmagic.builder.metadata import Applier, Metadata
from dockmagic.builder.model import RunMount, RunStep, StagePlan
from dockmagic.builder.request import BuildError
from dockmagic.builder.sandbox import Prepared
from dockmagic.builder.tree import FolderTree, Tree
from dockmagic.images.protocols import Snapshots
from dockmagic.runtime.spec import Mount


class Sources(Protocol):
    """Where a bind's files are: the solver knows."""

    def chain_of(self, stage: StagePlan) -> str | None:
        """The chain id of a stage's result, None when it is a context of files."""
        ...

    def tree_of(self, stage: StagePlan | None) -> Tree:
        """The files of a stage or, for None, of the build context."""
        ...


class CacheFolders:
    """The folders of cache mounts, kept under ``root``; one for all builds of an engine."""

    def __init__(self, root: Path, cache: BuildCache) -> None:
        self._root = root
        self._cache = cache
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._private: set[str] = set()

    @contextlib.contextmanager
    def use(self, key: str, id: str, sharing: str, *, reset: bool) -> Iterator[tuple[Path, bool]]:
        """The folder for a key and whether it is new. ``reset`` begins with an empty one (``--no-cache``)."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        if sharing == "locked":
            with turn:
                yield self._open(key, id, reset=reset)
        elif sharing == "private":
            name, number = key, 0
            with self._lock:
                while name in self._private:
                    number += 1
                    name = f"{key}.{number}"
                self._private.add(name)
            try:
                yield self._open(name, id, reset=reset)
            finally:
                with self._lock:
                    self._private.discard(name)
        else:
            yield self._open(key, id, reset=reset)

    def _open(self, name: str, id: str, *, reset: bool) -> tuple[Path, bool]:
        folder = self._root / name
        with self._lock:
            if reset and folder.exists():
                shutil.rmtree(folder)
            fresh = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            self._cache.use_mount(name, id, f"cached mount {id}")
        return folder, fresh

    def remove(self, name: str) -> None:
        """Delete a folder and its record."""
        shutil.rmtree(self._root / name, ignore_errors=True)
        self._cache.remove_mount(name)

    def size(self, name: str) -> int:
        """bytes on disk"""
        total = 0
        for folder, _, files in os.walk(self._root / name):
            for file in files:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, file)).st_blocks * 512
        return total


@dataclass
class MountMaker:
    """Makes the mounts of RUN steps, for one build."""

    snapshots: Snapshots
    caches: CacheFolders
    applier: Applier
    sources: Sources
    folder: Path
    secrets: dict[str, bytes]
    agents: dict[str, str]
    namespace: str = ""
    """BUILDKIT_CACHE_MOUNT_NS"""

    @contextlib.contextmanager
    def prepare(self, step: RunStep, *, ignore_cache: bool) -> Iterator[Prepared]:
        """The mounts of a step, as long as the block runs."""
        with contextlib.ExitStack() as stack:
            private = Path(tempfile.mkdtemp(dir=self.folder, prefix="mounts-"))
            stack.callback(shutil.rmtree, private, ignore_errors=True)
            prepared = Prepared()
            for number, mount in enumerate(step.mounts):
                kind = mount.mount.type
                if kind == "tmpfs":
                    size = (f"size={mount.mount.size}",) if mount.mount.size else ()
                    prepared.mounts.append(Mount(mount.target, kind="tmpfs", options=("nosuid", "exec", "dev", *size)))
                elif kind == "secret":
                    self._secret(mount, prepared, private / f"secret-{number}")
                elif kind == "ssh":
                    self._ssh(mount, prepared, number)
                elif kind == "cache":
                    self._cache(mount, prepared, stack, ignore_cache=ignore_cache)
                else:
                    self._bind(mount, prepared, stack)
            yield prepared

    def _secret(self, planned: RunMount, prepared: Prepared, path: Path) -> None:
        mount = planned.mount
        id = mount.source or mount.id or posixpath.basename(mount.target)
        value = self.secrets.get(id)
        if value is None:
            if mount.required:
                raise BuildError(f"secret {id}: not found")
            return
        if mount.env is not None:
            prepared.environment[mount.env or id] = value.decode("utf-8", "surrogateescape")
            if not mount.target:
                return
        path.write_bytes(value)
        self._give(path, mount.mode if mount.mode is not None else 0o400, mount.uid or 0, mount.gid or 0)
        target = mount.target or f"/run/secrets/{posixpath.basename(id)}"
        prepared.mounts.append(Mount(posixpath.join("/", target), str(path), read_only=True))

    def _give(self, path: Path, bits: int, uid: int, gid: int) -> None:
        mode = os.lstat(path).st_mode & ~0o7777 | bits
        self.applier.apply(str(path), Metadata(mode, uid, gid, None, {}))

    def _ssh(self, planned: RunMount, prepared: Prepared, number: int) -> None:
        mount = planned.mount
        id = mount.id or "default"
        agent = self.agents.get(id)
        if agent is None:
            if mount.required:
                raise BuildError(f"unset ssh forward key {id}")
            return
        target = mount.target or f"/run/buildkit/ssh_agent.{number}"
        prepared.mounts.append(Mount(target, agent))
        prepared.environment.setdefault("SSH_AUTH_SOCK", target)

    def _bind(self, planned: RunMount, prepared: Prepared, stack: contextlib.ExitStack) -> None:
        mount = planned.mount
        root = self._root(planned, stack, writable=not mount.readonly)
        source = inroot.resolve(root, mount.source)
        if not os.path.lexists(source):
            raise BuildError(missing(posixpath.join("/", mount.source)))
        prepared.mounts.append(Mount(planned.target, source, read_only=mount.readonly))

    def _root(self, planned: RunMount, stack: contextlib.ExitStack, *, writable: bool) -> str:
        """A folder with the files of a bind's stage or context; what is written there is thrown away."""
        chain = self.sources.chain_of(planned.stage) if planned.stage is not None else None
        if chain is not None:
            key = f"mount-{uuid.uuid4().hex}"
            snapshots = self.snapshots
            snapshot = snapshots.prepare(key, chain) if writable else snapshots.view(key, chain)
            stack.callback(snapshots.remove, key)
            return str(snapshot.path)
        folder = tempfile.mkdtemp(dir=self.folder, prefix="bind-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o755)
        only = planned.mount.source.strip("/")
        tree = self.sources.tree_of(planned.stage)
        copier = Copier(folder, self.applier)
        if only and tree.lstat(only) is not None:
            copier.copy(tree, only, posixpath.join("/", only), CopyOptions())
        else:
            copier.copy(tree, "", "/", CopyOptions())
        return folder

    def _cache(self, planned: RunMount, prepared: Prepared, stack: contextlib.ExitStack, *, ignore_cache: bool) -> None:
        mount = planned.mount
        id = mount.id or posixpath.normpath(mount.target)
        owned = mount.uid is not None or mount.gid is not None or mount.mode is not None
        base = ""
        if planned.stage is not None:
            base = self.sources.chain_of(planned.stage) or f"tree-{id}"
        parts = [self.namespace, id, base, mount.source if base else ""]
        if owned:
            parts += [str(mount.uid), str(mount.gid), str(mount.mode)]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
        reset = ignore_cache and owned
        folder, fresh = stack.enter_context(self.caches.use(key, id, mount.sharing or "shared", reset=reset))
        if fresh:
            if planned.stage is not None:
                self._fill(planned, folder)
            bits = mount.mode if mount.mode is not None else 0o755
            self._give(folder, bits, mount.uid or 0, mount.gid or 0)
        source = str(folder)
        prepared.mounts.append(Mount(planned.target, source, read_only=mount.readonly))

    def _fill(self, planned: RunMount, folder: Path) -> None:
        """What ``from`` says a new cache begins with."""
        with contextlib.ExitStack() as stack:
            root = self._root(planned, stack, writable=False)
            source = inroot.resolve(root, planned.mount.source)
            if os.path.isdir(source):
                Copier(str(folder), self.applier).copy(FolderTree(source), "", "/", CopyOptions())


_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def missing(path: str, name: Callable[[], str] = lambda: uuid.uuid4().hex) -> str:
    """BuildKit's words for a source that is not there; the two names it gives are as random as BuildKit's."""
    first, second = (re.sub("[^0-9a-z]", "", name())[:25].ljust(25, _ALPHABET[0]) for _ in range(2))
    return f'failed to compute cache key: failed to calculate checksum of ref {first}::{second}: "{path}": not found'
