"""Platforms such as ``linux/arm/v7``: read, normalized and written as containerd's ``platforms`` does."""

from __future__ import annotations

import platform as machine
import re
from dataclasses import dataclass
from typing import Any

from dockmagic.errors import InvalidParameter

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEM = re.compile(r"([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.+-]*)\))?")
_ARCHITECTURES = {
    "i386": ("386", ""), "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
}  # fmt: skip
_SYSTEMS = {"macos": "darwin"}


@dataclass(frozen=True)
class Platform:
    """A normalized platform. ``version`` is Windows' ``os.version``."""

    os: str
    architecture: str
    variant: str = ""
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Raises InvalidParameter. One part alone is an operating system or an architecture, as containerd guesses."""
        parts = text.split("/")
        system = _SYSTEM.fullmatch(parts[0])
        if system is None or len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts[1:]):
            raise InvalidParameter(f'"{text}": invalid platform specifier')
        if len(parts) == 1:
            name = system[1].lower()
            host = cls.host()
            if name in {"linux", "windows", "darwin", "freebsd", "macos"}:
                return cls.normal(name, host.architecture, host.variant, system[2] or "")
            return cls.normal(host.os, name, "", "")
        return cls.normal(system[1], parts[1], parts[2] if len(parts) == 3 else "", system[2] or "")

    @classmethod
    def normal(cls, os: str, architecture: str, variant: str = "", version: str = "") -> Platform:
        """With the names that images use: ``aarch64`` is ``arm64``, ``arm`` is ``arm/v7``, ``arm64/v8`` is arm64."""
        os = os.lower()
        architecture, default = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
        variant = variant.lower() or default
        if architecture == "arm":
            variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
        elif (architecture == "arm64" and variant in {"8", "v8"}) or (architecture == "amd64" and variant == "v1"):
            variant = ""
        return cls(_SYSTEMS.get(os, os), architecture, variant, version)

    @classmethod
    def host(cls) -> Platform:
        """This machine's."""
        name = machine.machine().lower()
        variant = {"armv7l": "v7", "armv6l": "v6", "armv5l": "v5"}.get(name, "")
        return cls.normal("linux", "arm" if variant else name, variant)

    @classmethod
    def of(cls, config: dict[str, Any]) -> Platform:
        """An image config's."""
        text = {key: str(config.get(key) or "") for key in ("os", "architecture", "variant", "os.version")}
        return cls.normal(text["os"], text["architecture"], text["variant"], text["os.version"])

    def __str__(self) -> str:
        """``FormatAll``: with the version in parentheses."""
        system = f"{self.os}({self.version})" if self.version else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)

    @property
    def short(self) -> str:
        """Without the version, as registries are asked for it."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
