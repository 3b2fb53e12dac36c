"""What a build needs besides its context: secrets, ssh agents, named contexts, caches to write.

BuildKit's own client brings them by a session of gRPC. dockmagic's engine takes them in the one request, as parts of
a ``multipart/form-data`` body (RFC 7578); a daemon of Docker's can't, and is asked nothing then.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from dockmagic.commands.buildcontext import Context, read_ignore
from dockmagic.commands.errors import CommandError
from dockmagic.commands.flags import Options

NO_SESSION = "it needs a BuildKit session (gRPC), which plain HTTP clients don't have"
_CHUNK = 1 << 18
Content = Iterable[bytes] | IO[bytes] | bytes | None


@dataclass
class Parts:
    """The parts, by the names that the engine knows (see docs/engine.md). Values of secrets are read when sent."""

    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    agents: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, str] = field(default_factory=dict)
    caches: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    """frontend attributes"""
    outputs: list[dict[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.flags())

    def flags(self) -> list[str]:
        """The flags that brought them."""
        named = (("secret", self.secrets), ("ssh", self.agents), ("build-context", self.contexts))
        others = (("cache-to", self.caches), ("no-cache-filter", self.attributes), ("output", self.outputs))
        return [f"--{flag}" for flag, value in (*named, *others) if value]

    def body(self, context: Content) -> tuple[str, Iterator[bytes]]:
        """(Content-Type, the body); the context comes last, for the engine reads it as it comes."""
        boundary = f"dockmagic-{secrets.token_hex(16)}"
        return f"multipart/form-data; boundary={boundary}", self._body(boundary, context)

    def _body(self, boundary: str, context: Content) -> Iterator[bytes]:
        for name, value in self.secrets.items():
            yield from _part(boundary, "secret", name, [value])
        for name, path in self.agents.items():
            yield from _part(boundary, "ssh", name, [path.encode()])
        for name, where in self.contexts.items():
            folder = Path(where).expanduser()
            chunks = (
                Context(folder, read_ignore(folder, "Dockerfile")).chunks() if folder.is_dir() else [where.encode()]
            )
            yield from _part(boundary, "named-context", name, chunks)
        for value_text in self.caches:
            yield from _part(boundary, "cache-to", "", [value_text.encode()])
        for name, value_text in self.attributes.items():
            yield from _part(boundary, "attribute", name, [value_text.encode()])
        for output in self.outputs:
            yield from _part(boundary, "output", "", [json.dumps(output).encode()])
        yield from _part(boundary, "context", "", _chunks(context))
        yield f"--{boundary}--\r\n".encode()


def parts_of(options: Options) -> Parts:
    """What the flags bring. Raises CommandError, before anything is built."""
    parts = Parts(caches=options.all("cache-to"))
    for text in options.all("secret"):
        name, value = _secret(text)
        parts.secrets[name] = value
    for text in options.all("ssh"):
        name, _, path = text.partition("=")
        agent = path or os.environ.get("SSH_AUTH_SOCK", "")
        if not agent:
            raise CommandError("ERROR: invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
        parts.agents[name] = os.path.abspath(agent)
    for text in options.all("build-context"):
        name, equals, where = text.partition("=")
        if not equals or not name or not where:
            raise CommandError(f"ERROR: invalid context value: {text}, expected key=value")
        if "://" not in where and not Path(where).expanduser().is_dir():
            raise CommandError(f"ERROR: failed to get build context {name}: stat {where}: no such file or directory")
        parts.contexts[name] = where
    return parts


def _secret(text: str) -> tuple[str, bytes]:
    """``id=ID[,src=PATH][,env=VARIABLE]``, as buildx reads it; never the value in an error."""
    given = dict(pair.partition("=")[::2] for pair in text.split(","))
    unknown = sorted(set(given) - {"id", "src", "source", "env", "type"})
    if unknown:
        raise CommandError(f"ERROR: unexpected key '{unknown[0]}' in '{unknown[0]}={given[unknown[0]]}'")
    name = given.get("id", "")
    if not name:
        raise CommandError("ERROR: secret missing id")
    path = given.get("src") or given.get("source") or ""
    variable = given.get("env", "")
    if not path and (variable or name in os.environ):
        variable = variable or name
        if variable not in os.environ:
            raise CommandError(f'ERROR: secret {name}: environment variable "{variable}" is not set')
        return name, os.environb[variable.encode()] if hasattr(os, "environb") else os.environ[variable].encode()
    try:
        return name, Path(path or name).expanduser().read_bytes()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CommandError(f"ERROR: failed to stat {path or name}: {reason}") from None


def _part(boundary: str, name: str, filename: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    quoted = filename.replace("\\", "\\\\").replace('"', '\\"')
    named = f'; filename="{quoted}"' if filename else ""
    yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode()
    yield from itertools.chain(chunks, [b"\r\n"])


def _chunks(content: Content) -> Iterable[bytes]:
    if content is None:
        return ()
    if isinstance(content, bytes):
        return (content,)
    reader = getattr(content, "read", None)
    if reader is None:
        return content
    return iter(lambda: reader(_CHUNK), b"")
