"""Platforms: how docker writes them, and which of an index's images fits (containerd's platforms package).

A machine runs its own architecture's images and those of older ones it can also run: arm64 runs arm, amd64 runs 386.
"""

from __future__ import annotations

import platform as _machine
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dockmagic.errors import InvalidParameter

# containerd platforms/database.go, normalizeArch
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}
_SYSTEMS = {"macos": "darwin"}
_COMPONENT = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True)
class Platform:
    """``os/architecture[/variant]``, normalised: arm64's only variant v8 is left out, arm without one is v7."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """From ``linux/arm/v7``, ``linux`` or ``arm64``. Raises InvalidParameter."""
        parts = text.strip().lower().split("/")
        for part in parts:
            if not _COMPONENT.fullmatch(part):
                raise InvalidParameter(f'"{part}" is an invalid component of "{text}": platform specifier component')
        if len(parts) > 3:
            raise InvalidParameter(f'"{text}": cannot parse platform specifier')
        if len(parts) == 1:
            known = {"linux", "windows", "darwin", "macos", "freebsd"}
            host = cls.host()
            parts = [parts[0], host.architecture, host.variant] if parts[0] in known else [host.os, parts[0]]
        return cls.make(*parts)

    @classmethod
    def make(cls, os: str, architecture: str, variant: str = "") -> Platform:
        """From the three fields of a config or an index."""
        architecture, implied = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
        variant = variant.lower() or implied
        if variant and variant[0].isdigit():
            variant = f"v{variant}"
        if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
            variant = ""
        elif (architecture, variant) == ("arm", ""):
            variant = "v7"
        return cls(_SYSTEMS.get(os.lower(), os.lower()), architecture, variant)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Platform:
        """From an index entry's ``platform`` or an image's config."""
        return cls.make(*(str(fields.get(name) or "") for name in ("os", "architecture", "variant")))

    @classmethod
    def host(cls) -> Platform:
        """What containers run on here. Containers are Linux containers, whatever this machine is."""
        return cls.make("linux", _machine.machine())

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def runs(self) -> Iterator[Platform]:
        """The platforms whose images run here, the best first (containerd platforms/compare.go, platformVector)."""
        yield self
        if self.architecture == "amd64":
            for level in range(_level(self.variant, 1) - 1, 0, -1):
                yield Platform(self.os, "amd64", f"v{level}" if level > 1 else "")
            yield Platform(self.os, "386")
        elif self.architecture == "arm":
            for level in range(_level(self.variant, 7) - 1, 4, -1):
                yield Platform(self.os, "arm", f"v{level}")
        elif self.architecture == "arm64":
            if self.variant:
                yield Platform(self.os, "arm64")
            for level in range(8, 4, -1):
                yield Platform(self.os, "arm", f"v{level}")

    def matches(self, other: Platform) -> bool:
        """Whether an image for ``other`` runs here."""
        return other in self.runs()


_Entry = TypeVar("_Entry", bound=Mapping[str, Any])


def choose(entries: Sequence[_Entry], wanted: Platform) -> _Entry | None:
    """The index entry that fits ``wanted`` best; None when none does.

    Entries without a platform, and attestations (``unknown/unknown``), are no images for a platform.
    """
    by_platform: dict[Platform, _Entry] = {}
    for entry in entries:
        fields = entry.get("platform")
        if isinstance(fields, Mapping):
            by_platform.setdefault(Platform.of(fields), entry)
    for candidate in wanted.runs():
        if candidate in by_platform:
            return by_platform[candidate]
    return None


def _level(variant: str, default: int) -> int:
    digits = variant[1:].split(".", maxsplit=1)[0]
    return int(digits) if digits.isdigit() else default
