"""The steps that move files: what their sources are, their cache keys, and carrying them out."""

from __future__ import annotations

import json
import posixpath
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dockmagic.builder import gopath
from dockmagic.builder.copying import Copier, CopyFailed, CopyOptions, make_folders, match_sources
from dockmagic.builder.digests import Digester
from dockmagic.builder.metadata import Applier
from dockmagic.builder.model import CopyItem, CopyStep, StagePlan
from dockmagic.builder.mounts import missing
from dockmagic.builder.owners import owner
from dockmagic.builder.remote import Remotes
from dockmagic.builder.request import BuildError
from dockmagic.builder.tree import Entry, FolderTree, MemoryTree, Tree, resolve
from dockmagic.builder.unpacking import is_archive, unpack


class StageFiles(Protocol):
    """What the solver knows of stages' files."""

    def chain_of(self, stage: StagePlan) -> str | None: ...

    def tree_of(self, stage: StagePlan | None) -> Tree: ...

    def known_tree(self, chain: str, query: str) -> str | None: ...

    def learn_tree(self, chain: str, query: str, digest: str) -> None: ...

    def context_identity(self) -> str | None:
        """What names the build context's content, when it is known."""
        ...


@dataclass(frozen=True)
class Found:
    """A source found: its tree, the paths in it, whether the copy is of a folder's contents."""

    item: CopyItem
    tree: Tree
    paths: tuple[str, ...]
    contents: bool = True


class FileSteps:
    """COPY and ADD of one build."""

    def __init__(
        self,
        stages: StageFiles,
        digester: Digester,
        remotes: Remotes,
        applier: Applier,
        epoch: int | None,
        folder: Path,
    ) -> None:
        self._stages = stages
        self._digester = digester
        self._remotes = remotes
        self._applier = applier
        self._epoch = None if epoch is None else epoch * 10**9
        self._folder = folder

    def item_key(self, step: CopyStep, item: CopyItem) -> str:
        """What one source contributes to the step's cache key: its content. Raises BuildError when it is missing."""
        chain = self._stages.chain_of(item.stage) if item.stage is not None else None
        if item.from_context:
            chain = self._stages.context_identity()
        query = json.dumps([item.path, item.include, item.required, step.exclude, item.unpack])
        if chain is not None and (known := self._stages.known_tree(chain, query)):
            return known
        found = self.find(item)
        parts = [item.filename, str(item.unpack), str(found.contents)]
        named = bool(gopath.has_wildcards(item.path)) or len(found.paths) != 1
        for path in found.paths:
            where = resolve(found.tree, path)
            entry = found.tree.lstat(where)
            if named or (entry is not None and not entry.is_folder):
                parts.append(posixpath.basename(path))
            parts.append(self._digester.tree(found.tree, where, item.include, step.exclude))
        key = json.dumps(parts)
        if chain is not None:
            self._stages.learn_tree(chain, query, key)
        return key

    def find(self, item: CopyItem) -> Found:
        """The source's files. Raises BuildError when they are not there."""
        if item.inline is not None:
            mtime = time.time_ns() if self._epoch is None else self._epoch
            return Found(item, MemoryTree({item.path: (item.inline, 0o644)}, mtime), (item.path,))
        if item.git is not None:
            checkout = self._remotes.git(item.git, keep_git_dir=item.keep_git_dir, checksum=item.checksum)
            return Found(item, FolderTree(str(checkout.path), recorded=False, owner=(0, 0)), ("",), contents=False)
        if item.url:
            return self._download(item)
        tree = self._stages.tree_of(None if item.from_context else item.stage)
        if item.required and tree.lstat(resolve(tree, item.required)) is None:
            raise BuildError(missing(item.required))
        if gopath.has_wildcards(item.path):
            return Found(item, tree, tuple(match_sources(tree, item.path)))
        if tree.lstat(resolve(tree, item.path)) is None:
            if item.include and not item.required:  # --parents with wildcards may match nothing
                return Found(item, tree, ())
            raise BuildError(missing(item.path))
        return Found(item, tree, (item.path.strip("/"),))

    def _download(self, item: CopyItem) -> Found:
        file = self._remotes.http(item.url, item.checksum)
        return Found(item, _DownloadTree(file.path, item.filename, (file.modified or 0) * 10**9), (item.filename,))

    def owner_of(self, step: CopyStep, root: str) -> tuple[int, int] | None:
        """The numbers of ``--chown``."""
        return owner(root, step.owner) if step.owner else None

    @staticmethod
    def names_owner(step: CopyStep) -> bool:
        """Whether ``--chown`` has a name, so that the image's passwd is needed."""
        return bool(step.owner) and re.fullmatch("[0-9]*(:[0-9]*)?", step.owner) is None

    @staticmethod
    def may_unpack(step: CopyStep) -> bool:
        """Whether an archive may be among the sources, which is unpacked into the whole root."""
        return any(item.unpack for item in step.items)

    def carry_out(self, step: CopyStep, copier: Copier, numbers: tuple[int, int] | None) -> None:
        """Copy everything into the copier's root. Raises BuildError, CopyFailed."""
        for item in step.items:
            found = self.find(item)
            options = CopyOptions(numbers, step.mode, self._epoch, item.include, step.exclude)
            if not found.paths and item.include:
                make_folders(
                    copier.destination, gopath.clean(step.destination), self._applier, CopyOptions(numbers, step.mode)
                )
            for path in found.paths:
                self._one(step, found, path, copier, options)

    def _one(self, step: CopyStep, found: Found, path: str, copier: Copier, options: CopyOptions) -> None:
        if found.item.unpack:
            where = resolve(found.tree, path)
            entry = found.tree.lstat(where)
            if entry is not None and is_archive(found.tree, where, entry):
                unpack(found.tree, where, entry, copier, step.destination, options, self._folder)
                return
        try:
            copier.copy(found.tree, path, step.destination, options, contents=found.contents)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CopyFailed(f"failed to copy {path}: {error.strerror}") from error


class _DownloadTree(FolderTree):
    """A download under the name it has in the image: mode 0600, its time from Last-Modified."""

    def __init__(self, file: Path, name: str, mtime: int) -> None:
        super().__init__(str(file.parent), recorded=False)
        self._file = file
        self._name = name
        self._entry = Entry(stat.S_IFREG | 0o600, size=file.stat().st_size, mtime=mtime)

    def lstat(self, path: str) -> Entry | None:
        if path == self._name:
            return self._entry
        return Entry(stat.S_IFDIR | 0o755) if not path else None

    def names(self, path: str) -> list[str]:
        return [self._name]

    def path(self, path: str) -> str:
        return str(self._file)
