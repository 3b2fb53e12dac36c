"""Platforms such as ``linux/arm/v7``: read, normalized and compared as containerd's ``platforms`` package does."""

from __future__ import annotations

import json
import platform as _machine
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockmagic.errors import InvalidParameter

_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEM = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)(?:\+[A-Za-z0-9_.-]+)*\))?")
_SYSTEM_SHOWN = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)((?:\+[A-Za-z0-9_.-]+)*)\))?$"
_SYSTEMS = frozenset(
    {
        *("aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl"),
        *("netbsd", "openbsd", "plan9", "solaris", "windows", "zos"),
    }
)
_ARCHITECTURES = frozenset(
    {
        *("386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "wasm"),
        *("ppc", "ppc64", "ppc64le", "mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le"),
        *("riscv", "riscv64", "s390", "s390x", "sparc", "sparc64"),
    }
)
# containerd platforms/database.go, normalizeArch; the last are what Linux calls its machines
_ALIASES: dict[str, tuple[str, str | None]] = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i686": ("386", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5l": ("arm", "v5"),
}
_UNSAID = {("amd64", "v1"), ("arm64", "8"), ("arm64", "v8")}


@dataclass(frozen=True)
class Platform:
    """``os/architecture[/variant]``, normalized. ``version`` is Windows' ``os.version``."""

    os: str
    architecture: str
    variant: str = ""
    version: str = ""

    @classmethod
    def parse(cls, text: str, default: Platform | None = None) -> Platform:
        """One part alone is an operating system or an architecture; the rest is taken from ``default`` (this machine).

        Raises InvalidParameter with containerd's words.
        """
        shown = json.dumps(text, ensure_ascii=False)
        if "*" in text:
            raise InvalidParameter(f"{shown}: wildcards not yet supported: invalid argument")
        parts = text.split("/", 3)
        match = _SYSTEM.fullmatch(parts[0])
        if match is None:
            raise InvalidParameter(
                f"{json.dumps(parts[0], ensure_ascii=False)} is an invalid OS component of {shown}: "
                f"OSAndVersion specifier component must match {json.dumps(_SYSTEM_SHOWN)}: invalid argument"
            )
        for part in parts[1:]:
            if not _COMPONENT.fullmatch(part):
                raise InvalidParameter(
                    f"{json.dumps(part, ensure_ascii=False)} is an invalid component of {shown}: "
                    'platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument'
                )
        if len(parts) > 3:
            raise InvalidParameter(f"{shown}: cannot parse platform specifier: invalid argument")
        if len(parts) > 1:
            return cls.normal(match[1], parts[1], parts[2] if len(parts) > 2 else "", match[2] or "")
        default = default or cls.host()
        alone = cls.normal(match[1], default.architecture, default.variant, match[2] or "")
        if alone.os in _SYSTEMS:
            return alone
        alone = cls.normal(default.os, parts[0])
        if alone.architecture in _ARCHITECTURES:
            return alone
        raise InvalidParameter(f"{shown}: unknown operating system or architecture: invalid argument")

    @classmethod
    def normal(cls, os: str, architecture: str, variant: str = "", version: str = "") -> Platform:
        """With the names that images use: ``x86_64`` is amd64, ``arm`` is arm/v7, ``arm64/v8`` is arm64."""
        os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
        if architecture in _ALIASES:
            architecture, fixed = _ALIASES[architecture]
            variant = variant if fixed is None else fixed
        if architecture == "arm":
            variant = {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"}.get(variant, variant)
        if (architecture, variant) in _UNSAID:
            variant = ""
        return cls("darwin" if os == "macos" else os, architecture, variant, version)

    @classmethod
    def host(cls) -> Platform:
        """What containers run on here. Containers are Linux containers, whatever this machine is."""
        return cls.normal("linux", _machine.machine())

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Platform:
        """From an image's config or an index entry's ``platform``."""
        return cls.normal(*(str(fields.get(key) or "") for key in ("os", "architecture", "variant", "os.version")))

    def __str__(self) -> str:
        """``FormatAll``: with the version in parentheses."""
        system = f"{self.os}({self.version})" if self.version else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)

    @property
    def short(self) -> str:
        """Without the version, as registries are asked for it."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def runs(self) -> Iterator[Platform]:
        """The platforms whose images run here, the best first (containerd platforms/compare.go, platformVector).

        A machine runs its own architecture's images and those of older ones it can also run: arm64 runs arm.
        """
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


def _level(variant: str, default: int) -> int:
    digits = variant[1:].split(".", maxsplit=1)[0]
    return int(digits) if digits.isdigit() else default
