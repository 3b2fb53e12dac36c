"""Named contexts: ``--build-context NAME=…``, which stand for stages and images of that name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from dockmagic.builder.context import MaskedTree, ignore_of, read_context, read_file
from dockmagic.builder.remote import Remotes
from dockmagic.builder.tree import FolderTree, MemoryTree, Tree
from dockmagic.dockerfile.gitref import parse_git_reference
from dockmagic.errors import DockmagicError, InvalidParameter, NotImplementedByEngine
from dockmagic.images.reference import Reference
from dockmagic.platforms import Platform

_IMAGE = "docker-image://"


class NamedContexts:
    """The contexts of one build by name. A value is a URL, or a tar that came with the request."""

    def __init__(self, given: Mapping[str, str | BinaryIO], remotes: Remotes, folder: Path) -> None:
        self._given = dict(given)
        self._remotes = remotes
        self._folder = folder
        self._trees: dict[str, Tree] = {}

    def knows(self, name: str) -> bool:
        return name in self._given

    def find(self, name: str, platform: Platform | None) -> str | None:
        """The key of the context that stands for a stage or an image of this name, or None."""
        if not self._given or name.lower() in {"scratch", "context"}:
            return None
        try:
            familiar = Reference.parse(name).familiar.removesuffix(":latest")
        except DockmagicError:
            familiar = name
        keys = [f"{familiar}::{platform}"] if platform else []
        return next((key for key in [*keys, familiar] if key in self._given), None)

    def image_reference(self, key: object) -> str:
        """The image that a context is, or "" for one of files."""
        value = self._given[str(key)]
        return value.removeprefix(_IMAGE) if isinstance(value, str) and value.startswith(_IMAGE) else ""

    def tree(self, key: object) -> Tree:
        """The files of a context; its own ``.dockerignore`` applies."""
        name = str(key)
        if name not in self._trees:
            tree = self._load(name)
            ignore = ignore_of(lambda path: read_file(tree, path))
            self._trees[name] = MaskedTree(tree, ignore) if ignore else tree
        return self._trees[name]

    def _load(self, name: str) -> Tree:
        value = self._given[name]
        if not isinstance(value, str):
            return read_context(value, self._folder).tree
        if value.startswith("local:"):
            local = self._given.get(value.removeprefix("local:"))
            if local is None or isinstance(local, str):
                raise InvalidParameter(f"local context {name} did not come with the request")
            return read_context(local, self._folder).tree
        git = parse_git_reference(value)
        if git is not None:
            return FolderTree(str(self._remotes.git(git).path), recorded=False, owner=(0, 0))
        if value.startswith(("http://", "https://")):
            with self._remotes.http(value).path.open("rb") as file:
                context = read_context(file, self._folder)
            if context.dockerfile is None:
                return context.tree
            return MemoryTree({"Dockerfile": (context.dockerfile, 0o644)}, 0)
        scheme = value.partition(":")[0]
        raise NotImplementedByEngine(f"unsupported context source {scheme} for {name}")

    def epoch(self, name: str) -> int | None:
        """When a remote context was made, in seconds; None for others."""
        value = self._given[name]
        return self.remote_epoch(value) if isinstance(value, str) and "://" in value else None

    def remote_epoch(self, source: str) -> int | None:
        """When a git or HTTP source was made."""
        git = parse_git_reference(source)
        if git is not None:
            return self._remotes.git(git).committed
        if source.startswith(("http://", "https://")):
            return self._remotes.http(source).modified
        return None
