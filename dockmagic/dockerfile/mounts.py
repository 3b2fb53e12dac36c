"""``RUN --mount``, ``--network``, ``--security`` and ``--device``: comma-separated options into values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dockmagic.dockerfile.errors import InstructionError
from dockmagic.dockerfile.golang import parse_bool, parse_size, parse_uint, quote
from dockmagic.dockerfile.suggest import with_suggestion

Expand = Callable[[str], str]
"""Gives a word with its variables replaced."""

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
KEYS = (
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
)
_PLAIN = {
    "from": "from_",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "id": "id",
    "env": "env",
}
"""Keys whose values are text, to Mount's fields."""
NETWORKS = ("default", "none", "host")
SECURITY = ("sandbox", "insecure")


@dataclass(frozen=True)
class Mount:
    """One ``--mount``.

    ``id``, ``sharing`` and ``target`` are "" where not given: the defaults are the builder's. ``size`` is bytes, 0 for
    none. ``env`` is None without the key, "" for the default name.
    """

    type: str = "bind"
    from_: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    size: int = 0
    id: str = ""
    sharing: str = ""
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    spec: str = ""
    """As written, for reading it again with variables."""


def read_mount(spec: str) -> Mount:
    """A mount before its variables are known.

    Only ``from`` is checked now, as BuildKit does it; what does not make sense yet, for it holds a variable, gives a
    Mount of its ``from`` and ``spec`` alone.
    """
    source = ""
    for field in split_fields(spec, "mounts"):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            if "$" in value[:-1]:
                raise InstructionError(
                    f"'{key.lower()}' doesn't support variable expansion, define alias stage instead"
                )
            source = value
    try:
        return parse_mount(spec, lambda word: word)
    except InstructionError:
        return Mount(from_=source, spec=spec)


def parse_mount(spec: str, expand: Expand) -> Mount:
    """A mount with its variables replaced by ``expand``, and checked."""
    # The fields of Mount; the type may come after the options that depend on it, then they are refused.
    options: dict[str, Any] = {"type": "bind"}
    for field in split_fields(spec, "mounts"):
        key, has_value, value = field.partition("=")
        key = key.lower()
        if has_value:
            value = expand(value)
        elif key not in {"readonly", "ro", "readwrite", "rw", "required"}:
            raise InstructionError(f"invalid field '{field}' must be a key=value pair")
        if key in {"readonly", "ro", "readwrite", "rw"}:
            flag = _flag(key, value) if has_value else True
            options["readonly"] = flag if key in {"readonly", "ro"} else not flag
        elif key == "required":
            if options["type"] not in {"secret", "ssh"}:
                raise InstructionError(f"unexpected key '{key}' for mount type '{options['type']}'")
            options["required"] = _flag(key, value) if has_value else True
        elif key in _PLAIN:
            options[_PLAIN[key]] = value
        else:
            options[key] = _option(key, value, field, options["type"])
    options.setdefault("readonly", options["type"] not in {"cache", "tmpfs"})
    mount = Mount(**options, spec=spec)
    _check(mount)
    return mount


def _option(key: str, value: str, field: str, kind: str) -> Any:
    """The value of an option that is not plain text."""
    if key == "type":
        if value.lower() not in TYPES:
            raise InstructionError(with_suggestion(f"unsupported mount type {quote(value)}", value, TYPES))
        return value.lower()
    if key == "sharing":
        if value.lower() not in SHARING:
            raise InstructionError(with_suggestion(f"unsupported sharing value {quote(value)}", value, SHARING))
        return value.lower()
    if key == "size":
        if kind != "tmpfs":
            raise InstructionError(f"unexpected key '{key}' for mount type '{kind}'")
        size = parse_size(value)
        if size is None:
            raise InstructionError(f"invalid value for {key}: {value}")
        return size
    if key in {"mode", "uid", "gid"}:
        number = parse_uint(value, 8 if key == "mode" else 10)
        if number is None:
            raise InstructionError(f"invalid value {value} for {key}")
        return number
    raise InstructionError(with_suggestion(f"unexpected key '{key}' in '{field}'", key, KEYS))


def _flag(key: str, value: str) -> bool:
    flag = parse_bool(value)
    if flag is None:
        raise InstructionError(f"invalid value for {key}: {value}")
    return flag


def _check(mount: Mount) -> None:
    if mount.type not in {"secret", "ssh", "cache"}:
        for name in ("mode", "uid", "gid"):
            if getattr(mount, name) is not None:
                raise InstructionError(f"{name} not allowed for {quote(mount.type)} type mounts")
    if mount.type == "secret":
        if mount.from_:
            raise InstructionError("secret mount should not have a from")
        if mount.sharing:
            raise InstructionError("secret mount should not define sharing")
        if not mount.source and not mount.target and not mount.id:
            raise InstructionError("invalid secret mount. one of source, target required")
        if mount.source and mount.id:
            raise InstructionError("both source and id can't be set")
    if mount.sharing and mount.type != "cache":
        raise InstructionError(f"invalid cache sharing set for {mount.type} mount")


def check_device(spec: str) -> None:
    """Refuse a ``--device`` that BuildKit refuses. Devices themselves are not given to any step here."""
    name = ""
    for field in split_fields(spec, "devices"):
        key, has_value, value = field.partition("=")
        key = key.lower()
        if not has_value and key == "required":
            continue
        if has_value and key == "required":
            _flag(key, value)
        elif has_value and key == "name":
            if name:
                raise InstructionError(f"device name already set to {name}")
            name = value
        elif not name:
            name = field
        elif not has_value:
            raise InstructionError(f"invalid field '{field}' must be a key=value pair")
        else:
            message = f"unexpected key '{key}' in '{field}'"
            raise InstructionError(with_suggestion(message, key, ("name", "required")))


def split_fields(text: str, what: str) -> list[str]:
    """One line of comma-separated values as Go's ``encoding/csv`` reads it; ``what`` is for the message."""

    def failed(problem: str, position: int) -> InstructionError:
        place = f"parse error on line 1, column {position + 1}: " if position >= 0 else ""
        return InstructionError(f"failed to parse csv {what}: {place}{problem}")

    if not text:
        raise failed("EOF", -1)
    fields: list[str] = []
    position = 0
    while True:
        if text[position : position + 1] != '"':
            end = text.find(",", position)
            field = text[position:] if end < 0 else text[position:end]
            if '"' in field:
                raise failed('bare " in non-quoted-field', position + field.index('"'))
            fields.append(field)
        else:
            start = position + 1
            pieces: list[str] = []
            while True:
                quote_at = text.find('"', start)
                if quote_at < 0:
                    raise failed('extraneous or missing " in quoted-field', start)
                pieces.append(text[start:quote_at])
                if text[quote_at + 1 : quote_at + 2] != '"':
                    break
                pieces.append('"')
                start = quote_at + 2
            end = quote_at + 1 if quote_at + 1 < len(text) else -1
            if end >= 0 and text[end] != ",":
                raise failed('extraneous or missing " in quoted-field', quote_at)
            fields.append("".join(pieces))
        if end < 0:
            return fields
        position = end + 1
