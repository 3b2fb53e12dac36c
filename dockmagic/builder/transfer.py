"""COPY and ADD as steps: what each source means (BuildKit's ``dispatchCopy``)."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

from dockmagic.builder import gopath
from dockmagic.builder.chmod import Mode
from dockmagic.builder.model import CopyItem, CopyStep, StagePlan
from dockmagic.dockerfile.commands import Add, Copy, Transfer
from dockmagic.dockerfile.errors import GitReferenceError
from dockmagic.dockerfile.gitref import GitReference, parse_git_reference
from dockmagic.errors import InvalidParameter


def plan_transfer(instruction: Transfer, source: StagePlan | None, workdir: str) -> tuple[CopyStep, str]:
    """The step (its name not set yet) and its line in the history. ``source`` None is the build context."""
    destination = instruction.destination
    if destination in {"", "."}:
        destination = "./"
    destination = gopath.normalize(workdir, destination, keep_slash=True)
    mode = Mode.parse(instruction.chmod) if instruction.chmod else None
    adding = isinstance(instruction, Add)
    checksum = instruction.checksum if isinstance(instruction, Add) else ""
    if checksum:
        _check_checksum(instruction)
    message = ["ADD" if adding else "COPY"]
    if isinstance(instruction, Copy) and instruction.parents:
        message.append("--parents")
    if instruction.chown:
        message.append(f"--chown={instruction.chown}")
    if instruction.chmod:
        message.append(f"--chmod={instruction.chmod}")
    items: list[CopyItem] = []
    for path in instruction.sources:
        message.append(path)
        items.append(_item(instruction, path, source))
    for content in instruction.contents:
        message.append(f"<<{content.name}")
        data = content.data.encode("utf-8", "surrogateescape")
        items.append(CopyItem(path=content.name, inline=data))
    message.append(instruction.destination)
    link = instruction.link and not instruction.chmod
    step = CopyStep("", instruction, items, destination, instruction.chown, mode, instruction.exclude, link)
    return step, " ".join(message)


def _check_checksum(instruction: Transfer) -> None:
    if len(instruction.sources) != 1:
        raise InvalidParameter("checksum can't be specified for multiple sources")
    if not is_http(instruction.sources[0]) and _git(instruction.sources[0]) is None:
        raise InvalidParameter("checksum requires HTTP(S) or Git sources")


def is_http(source: str) -> bool:
    """Whether a source is to be downloaded; ``https://host/repo.git`` is a git repository instead."""
    return source.startswith(("http://", "https://")) and _git(source) is None


def _git(source: str) -> GitReference | None:
    try:
        found = parse_git_reference(source)
    except GitReferenceError as error:
        raise InvalidParameter(str(error)) from error
    return None if found is None or found.like_local_path else found


def _item(instruction: Transfer, path: str, source: StagePlan | None) -> CopyItem:
    git = _git(path)
    if git is not None:
        if not isinstance(instruction, Add):
            raise InvalidParameter("source can't be a git ref for COPY")
        return _git_item(instruction, git)
    if is_http(path):
        if not isinstance(instruction, Add):
            raise InvalidParameter("source can't be a URL for COPY")
        name = posixpath.basename(unquote(urlsplit(path).path).rstrip("/")) or "__unnamed__"
        return CopyItem(
            path=name, url=path, filename=name, checksum=_digest(instruction.checksum), unpack=bool(instruction.unpack)
        )
    include: tuple[str, ...] = ()
    required = ""
    if isinstance(instruction, Copy) and instruction.parents:
        start, pivot, pattern = path.partition("/./")
        if not pivot:
            start, pattern = "/", path
        pattern = gopath.normalize("/", pattern, keep_slash=False)
        include = (pattern.removeprefix("/"),)
        if not gopath.has_wildcards(start) and not gopath.has_wildcards(pattern):
            required = gopath.normalize("/", posixpath.join(start, pattern.lstrip("/")), keep_slash=False)
        path = start
    unpack = isinstance(instruction, Add)
    if isinstance(instruction, Add) and instruction.unpack is not None:
        unpack = instruction.unpack
    return CopyItem(
        path=gopath.normalize("/", path, keep_slash=False),
        stage=source,
        from_context=source is None,
        include=include,
        required=required,
        unpack=unpack,
    )


def _git_item(instruction: Add, git: GitReference) -> CopyItem:
    keep = instruction.keep_git_dir
    if keep is not None and git.keep_git_dir is not None and keep != git.keep_git_dir:
        raise InvalidParameter("inconsistent keep-git-dir configuration")
    if git.keep_git_dir is not None:
        keep = git.keep_git_dir
    if instruction.checksum and git.checksum and instruction.checksum != git.checksum:
        raise InvalidParameter(f'checksum mismatch "{instruction.checksum}" != "{git.checksum}"')
    return CopyItem(path="/", git=git, keep_git_dir=bool(keep), checksum=git.checksum or instruction.checksum)


def _digest(text: str) -> str:
    if not text:
        return ""
    algorithm, colon, value = text.partition(":")
    lengths = {"sha256": 64, "sha384": 96, "sha512": 128}
    if not colon:
        raise InvalidParameter("invalid checksum digest format")
    if algorithm not in lengths:
        raise InvalidParameter("unsupported digest algorithm")
    if len(value) != lengths[algorithm]:
        raise InvalidParameter("invalid checksum digest length")
    return text
