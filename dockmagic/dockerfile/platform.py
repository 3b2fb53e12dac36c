"""Platforms as ``linux/arm64/v8``: parsed and normalized by containerd's rules."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.golang import quote

_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)(?:\+[A-Za-z0-9_.-]+)*\))?")
_OS_SHOWN = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)((?:\+[A-Za-z0-9_.-]+)*)\))?$"
_SYSTEM = re.compile(
    "aix|android|darwin|dragonfly|freebsd|hurd|illumos|ios|js|linux|nacl|netbsd|openbsd|plan9|solaris|windows|zos"
)
_ARCHITECTURE = re.compile(
    "386|amd64|amd64p32|arm|armbe|arm64|arm64be|ppc|ppc64|ppc64le|loong64|mips|mipsle|mips64|mips64le|mips64p32|"
    "mips64p32le|riscv|riscv64|s390|s390x|sparc|sparc64|wasm"
)
_ALIASES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "amd64": ("amd64", None),
    "aarch64": ("arm64", None),
    "arm64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {("amd64", "v1"): "", ("arm64", "8"): "", ("arm64", "v8"): ""}


@dataclass(frozen=True)
class Platform:
    """An operating system and an architecture."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        system = f"{self.os}({self.os_version})" if self.os_version else self.os
        return "/".join(filter(None, (system, self.architecture, self.variant)))


def normalize(architecture: str, variant: str = "") -> tuple[str, str]:
    """Go's names: ``x86_64`` is ``amd64``; variants that say nothing are dropped."""
    architecture, variant = architecture.lower(), variant.lower()
    if architecture in _ALIASES:
        architecture, fixed = _ALIASES[architecture]
        variant = variant if fixed is None else fixed
    if architecture == "arm":
        variant = {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"}.get(variant, variant)
    return architecture, _DEFAULT_VARIANTS.get((architecture, variant), variant)


def parse_platform(text: str, default: str = "linux/amd64") -> Platform:
    """A platform; what it does not say is taken from ``default``. DockerfileError with containerd's words."""
    if "*" in text:
        raise DockerfileError(f"{quote(text)}: wildcards not yet supported: invalid argument")
    parts = text.split("/", 3)
    match = _OS.fullmatch(parts[0])
    if match is None:
        raise DockerfileError(
            f"{quote(parts[0])} is an invalid OS component of {quote(text)}: "
            f"OSAndVersion specifier component must match {quote(_OS_SHOWN)}: invalid argument"
        )
    for part in parts[1:]:
        if not _COMPONENT.fullmatch(part):
            raise DockerfileError(
                f"{quote(part)} is an invalid component of {quote(text)}: "
                f"platform specifier component must match {quote('^[A-Za-z0-9_.-]+$')}: invalid argument"
            )
    if len(parts) > 3:
        raise DockerfileError(f"{quote(text)}: cannot parse platform specifier: invalid argument")
    system, version = match.group(1).lower(), match.group(2) or ""
    system = "darwin" if system == "macos" else system
    default_system, default_architecture, *default_variant = default.split("/")
    if len(parts) > 1:
        return Platform(system, *normalize(parts[1], parts[2] if len(parts) > 2 else ""), os_version=version)
    if _SYSTEM.fullmatch(system):
        return Platform(system, *normalize(default_architecture, "".join(default_variant)), os_version=version)
    architecture, variant = normalize(parts[0])
    if _ARCHITECTURE.fullmatch(architecture):
        return Platform(default_system, architecture, variant)
    raise DockerfileError(f"{quote(text)}: unknown operating system or architecture: invalid argument")
