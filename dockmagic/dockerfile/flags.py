"""Which flags each instruction has, and reading them."""

from __future__ import annotations

from collections.abc import Mapping

from dockmagic.dockerfile.errors import InstructionError
from dockmagic.dockerfile.suggest import with_suggestion

TEXT, BOOLEAN, LIST = "text", "boolean", "list"

FLAGS: Mapping[str, Mapping[str, str]] = {
    "add": {
        "chmod": TEXT,
        "chown": TEXT,
        "link": BOOLEAN,
        "keep-git-dir": BOOLEAN,
        "checksum": TEXT,
        "unpack": BOOLEAN,
        "exclude": LIST,
    },
    "copy": {"chmod": TEXT, "chown": TEXT, "from": TEXT, "link": BOOLEAN, "parents": BOOLEAN, "exclude": LIST},
    "from": {"platform": TEXT},
    "healthcheck": {
        "interval": TEXT,
        "timeout": TEXT,
        "start-period": TEXT,
        "start-interval": TEXT,
        "retries": TEXT,
    },
    "run": {"mount": LIST, "network": TEXT, "security": TEXT, "device": LIST},
}
"""Instruction to its flags and their kinds; instructions that are not here have none."""

Values = dict[str, list[str]]


def read_flags(keyword: str, flags: list[str]) -> Values:
    """The given flags: name to values; a boolean's value is "true" or "false". InstructionError if one is bad."""
    known = FLAGS.get(keyword.lower(), {})
    values: Values = {}
    for flag in flags:
        if flag == "--":
            break
        shown, has_value, value = flag.partition("=")
        name = shown[2:]
        kind = known.get(name)
        if kind is None:
            raise InstructionError(with_suggestion(f"unknown flag: {shown}", name, known))
        if name in values and kind != LIST:
            raise InstructionError(f"duplicate flag specified: {shown}")
        if kind == BOOLEAN:
            if has_value and not value:
                raise InstructionError(f"missing a value on flag: {shown}")
            value = value.lower() or "true"
            if value not in {"true", "false"}:
                raise InstructionError(f"expecting boolean value for flag {shown}, not: {flag.partition('=')[2]}")
        elif not has_value:
            raise InstructionError(f"missing a value on flag: {shown}")
        values.setdefault(name, []).append(value)
    return values
