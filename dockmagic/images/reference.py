"""Image references: what a person types, what a registry is asked, what is shown again.

The rules are those of github.com/distribution/reference: grammar (reference.go, regexp.go), docker.io's defaults and
familiar forms (normalize.go), patterns (helpers.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dockmagic.errors import InvalidParameter

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_LOCALHOST = "localhost"
_PATH_MAX = 255
INVALID_FORMAT = "invalid reference format"

_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])"
_DOMAIN = rf"{_HOST}(?::[0-9]+)?"
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"

NAME = re.compile(rf"(?:({_DOMAIN})/)?({_PATH})", re.ASCII)
REFERENCE = re.compile(rf"((?:{_DOMAIN}/)?{_PATH})(?::({_TAG}))?(?:@({_DIGEST}))?", re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_DIGEST_HEX = re.compile(r"[a-f0-9]{64}")
_TAG_ONLY = re.compile(_TAG, re.ASCII)


@dataclass(frozen=True, order=True)
class Reference:
    """A name in a registry, with a tag, a digest, both or neither. Made by :meth:`parse` and its sisters.

    A bare digest (``sha256:…`` as :func:`parse_any` takes it) has neither domain nor path.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """A complete reference from what a person typed: docker.io, ``library/`` and ``:latest`` filled in.

        ``:latest`` is filled in only where there is no digest. Raises InvalidParameter.
        """
        found = parse_normalized(text)
        return found if found.tag or found.digest else replace(found, tag=DEFAULT_TAG)

    @property
    def name(self) -> str:
        """Domain and path: ``docker.io/library/alpine``."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def familiar_name(self) -> str:
        """The shortest form of the name that means the same: ``alpine``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """The familiar name with tag and digest: ``alpine:latest``, ``alpine@sha256:…``."""
        return self._suffixed(self.familiar_name)

    def __str__(self) -> str:
        return self._suffixed(self.name)

    def _suffixed(self, name: str) -> str:
        if not name:
            return self.digest
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_tag(self, tag: str) -> Reference:
        """The same name with ``tag`` and no digest. Raises InvalidParameter("invalid tag format")."""
        if not _TAG_ONLY.fullmatch(tag):
            raise InvalidParameter("invalid tag format")
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> Reference:
        """The same name with ``digest`` and no tag. Raises InvalidParameter."""
        check_digest(digest)
        return replace(self, tag="", digest=digest)

    def matches(self, pattern: str) -> bool:
        """Whether the familiar form or the familiar name fits a shell pattern (``docker images --filter``).

        Raises InvalidParameter("syntax error in pattern").
        """
        expression = _glob(pattern)
        return bool(expression.fullmatch(self.familiar) or expression.fullmatch(self.familiar_name))


def parse_bare(text: str) -> Reference:
    """The reference exactly as written, nothing filled in (distribution's ``Parse``). Raises InvalidParameter."""
    match = REFERENCE.fullmatch(text)
    if not match:
        if not text:
            raise InvalidParameter("repository name must have at least one component")
        if REFERENCE.fullmatch(text.lower()):
            raise InvalidParameter("repository name must be lowercase")
        raise InvalidParameter(INVALID_FORMAT)
    name, tag, digest = match.groups()
    found = _split_name(name)
    if digest:
        check_digest(digest)
    return replace(found, tag=tag or "", digest=digest or "")


def parse_name(text: str) -> Reference:
    """A name alone, neither tag nor digest (distribution's ``WithName``). Raises InvalidParameter."""
    if not NAME.fullmatch(text):
        raise InvalidParameter(INVALID_FORMAT)
    return _split_name(text)


def parse_normalized(text: str) -> Reference:
    """What a person typed, docker.io and ``library/`` filled in, but no tag (``ParseNormalizedNamed``)."""
    if _IDENTIFIER.fullmatch(text):
        raise InvalidParameter(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    remote = remainder.partition(":")[0]
    if remote.lower() != remote:
        raise InvalidParameter(f"{INVALID_FORMAT}: repository name ({remote}) must be lowercase")
    return parse_bare(f"{domain}/{remainder}")


def parse_canonical(text: str) -> Reference:
    """A reference that must be written out in full (``ParseNamed``). Raises InvalidParameter."""
    found = parse_normalized(text)
    if str(found) != text:
        raise InvalidParameter("repository name must be canonical")
    return found


def parse_docker(text: str) -> Reference:
    """Like :meth:`Reference.parse`, but a digest makes the tag meaningless and it is dropped (``ParseDockerRef``)."""
    found = Reference.parse(text)
    return replace(found, tag="") if found.digest else found


def parse_any(text: str) -> Reference:
    """A name, or an image's 64 digit id, or a digest: the last two become a bare digest (``ParseAnyReference``)."""
    if _IDENTIFIER.fullmatch(text):
        return Reference("", "", digest="sha256:" + text)
    if is_digest(text):
        return Reference("", "", digest=text)
    return parse_normalized(text)


def is_digest(text: str) -> bool:
    """Whether ``text`` is a whole ``sha256:…`` digest."""
    algorithm, _, value = text.partition(":")
    return algorithm == "sha256" and bool(_DIGEST_HEX.fullmatch(value))


def check_digest(text: str) -> None:
    """Raise InvalidParameter, with go-digest's words, unless ``text`` is a sha256 digest."""
    algorithm, separator, value = text.partition(":")
    if not separator or not re.fullmatch(_DIGEST, text, re.ASCII):
        raise InvalidParameter("invalid checksum digest format")
    if algorithm != "sha256":
        raise InvalidParameter("unsupported digest algorithm")
    if len(value) != 64:
        raise InvalidParameter("invalid checksum digest length")
    if not _DIGEST_HEX.fullmatch(value):
        raise InvalidParameter("invalid checksum digest format")


def _split_name(name: str) -> Reference:
    match = NAME.fullmatch(name)
    domain, path = (match.group(1) or "", match.group(2)) if match else ("", name)
    if len(path) > _PATH_MAX:
        raise InvalidParameter(f"repository name must not be more than {_PATH_MAX} characters")
    return Reference(domain, path)


def _split_domain(text: str) -> tuple[str, str]:
    """Domain and the rest. The first part is a domain only when it looks like one: a dot, a port, upper case."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, _OFFICIAL + text
    if first == _LEGACY_DOMAIN:
        domain, remainder = DEFAULT_DOMAIN, rest
    elif first == _LOCALHOST or "." in first or ":" in first or first.lower() != first:
        domain, remainder = first, rest
    else:
        domain, remainder = DEFAULT_DOMAIN, text
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder


def _glob(pattern: str) -> re.Pattern[str]:
    """Go's path.Match pattern as a regular expression: ``*`` and ``?`` stop at ``/``; ``[^…]`` negates."""
    out, position = "", 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            text, position = _glob_class(pattern, position)
            out += text
        elif char == "\\":
            if position == len(pattern):
                raise InvalidParameter("syntax error in pattern")
            out += re.escape(pattern[position])
            position += 1
        else:
            out += re.escape(char)
    return re.compile(out, re.DOTALL)


def _glob_class(pattern: str, position: int) -> tuple[str, int]:
    """One ``[…]`` that begins after ``position - 1``: its regular expression and where it ended."""
    negated = pattern[position : position + 1] == "^"
    position += negated
    items = ""
    while True:
        if pattern[position : position + 1] == "]" and items:
            break
        low, position = _glob_char(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _glob_char(pattern, position + 1)
        if low > high:  # a range written backwards fits nothing
            low = high = "\0"
        items += f"{re.escape(low)}-{re.escape(high)}"
    return f"[{'^' if negated else ''}{items}]", position + 1


def _glob_char(pattern: str, position: int) -> tuple[str, int]:
    char = pattern[position : position + 1]
    if char in ("", "-", "]"):
        raise InvalidParameter("syntax error in pattern")
    if char == "\\":
        position += 1
        char = pattern[position : position + 1]
        if not char:
            raise InvalidParameter("syntax error in pattern")
    if position + 1 >= len(pattern):  # the closing bracket is missing
        raise InvalidParameter("syntax error in pattern")
    return char, position + 1
