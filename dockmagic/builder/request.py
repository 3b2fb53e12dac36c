"""What a build is asked to do, and what came of it: the face of the builder towards the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from dockmagic.errors import DockmagicError
from dockmagic.trace import StatusResponse

Progress = Callable[[StatusResponse], None]
"""Called, from any thread but one at a time, with each change of the build's state."""


@dataclass
class BuildRequest:
    """The parameters of ``POST /build`` (Docker Engine API, "Build an image"), decoded."""

    context: BinaryIO | None = None
    """A tar (plain or compressed) of the context, or a bare Dockerfile; None with ``remote``."""
    remote: str = ""
    """A git or http(s) URL to take the context from."""
    dockerfile: str = "Dockerfile"
    """The Dockerfile's path in the context."""
    tags: list[str] = field(default_factory=list)
    build_args: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    no_cache: bool = False
    no_cache_filter: list[str] = field(default_factory=list)
    pull: bool = False
    extra_hosts: list[str] = field(default_factory=list)
    network: str = ""
    shm_size: int = 0
    memory: int = 0
    ulimits: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[str, bytes] = field(default_factory=dict)
    ssh: dict[str, str] = field(default_factory=dict)
    """id to the path of an agent's socket"""
    named_contexts: dict[str, str | BinaryIO] = field(default_factory=dict)
    """name to ``docker-image://…``, ``https://…``, … or a tar"""
    cache_from: list[str] = field(default_factory=list)
    """Images, or ``type=registry,ref=…`` and ``type=local,src=…``."""
    cache_to: list[str] = field(default_factory=list)
    """``type=registry,ref=…``, ``type=local,dest=…`` (``mode=max``: of all stages), ``type=inline``."""
    outputs: list[dict[str, str]] = field(default_factory=list)
    """Each with its ``type``, where ``dest`` it goes, and what else buildx's ``--output`` takes. None: the image."""
    attributes: dict[str, str] = field(default_factory=dict)
    """BuildKit's frontend attributes that have no field of their own."""
    auth: Mapping[str, Any] = field(default_factory=dict)
    """X-Registry-Config: registry host to credentials"""
    on_dockerfile: Callable[[str], None] | None = None
    """Called with the Dockerfile's text as soon as it is read."""


@dataclass
class BuildResult:
    """``image_id`` is ``sha256:…``; "" when only other outputs were asked for, and the store has no image of it."""

    image_id: str
    warnings: list[str] = field(default_factory=list)
    platforms: dict[str, str] = field(default_factory=dict)
    """Every platform that was built, with its image's id; the first is ``image_id``'s."""


class BuildError(DockmagicError):
    """A build failed. The message is BuildKit's, as in
    ``process "/bin/sh -c false" did not complete successfully: exit code: 1``.

    ``line`` counts from 1 (0: none); ``exit_code`` is the failed RUN's (0: it was something else); ``code_frame`` shows
    the marked source lines as BuildKit prints them.
    """

    def __init__(self, message: str, *, line: int = 0, exit_code: int = 0, code_frame: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.exit_code = exit_code
        self.code_frame = code_frame
