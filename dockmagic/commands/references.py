"""Image names as people type them: registry, repository, tag (distribution/reference). The engine checks the rest."""

from __future__ import annotations

import re

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(?:@[a-z0-9+._-]+:[0-9a-fA-F]{32,})?"
)


def well_formed(name: str) -> bool:
    """Whether it is a reference by its form; upper case in a path has a message of its own in docker, and passes."""
    repository, _ = split(name)
    return _NAME.fullmatch(repository.lower() + name[len(repository) :]) is not None


def split(name: str) -> tuple[str, str]:
    """(repository, tag or digest); the second is "" when the name has none."""
    repository, at, digest = name.partition("@")
    if at:
        return repository.rsplit(":", 1)[0] if tag_of(repository) else repository, digest
    tag = tag_of(name)
    return (name[: -len(tag) - 1], tag) if tag else (name, "")


def tag_of(name: str) -> str:
    """The tag after the last colon that is not a registry's port."""
    last = name.partition("@")[0].rsplit("/", 1)[-1]
    return last.partition(":")[2]


def domain_of(repository: str) -> str:
    """The registry: the part before the first slash when it looks like a host."""
    first, slash, _ = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return "docker.io" if first == "index.docker.io" else first
    return "docker.io"


def canonical(name: str, *, tagged: bool = True) -> str:
    """``docker.io/library/alpine:latest``."""
    repository, tag = split(name)
    domain = domain_of(repository)
    path = repository.removeprefix(f"{domain}/").removeprefix("index.docker.io/")
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    if not tagged:
        return f"{domain}/{path}"
    return f"{domain}/{path}@{tag}" if "@" in name else f"{domain}/{path}:{tag or 'latest'}"


def familiar(name: str) -> str:
    """``alpine:latest``: short where docker.io/library is meant."""
    repository, tag = split(name)
    short = repository.removeprefix("docker.io/").removeprefix("library/")
    return f"{short}@{tag}" if "@" in name else f"{short}:{tag or 'latest'}"
