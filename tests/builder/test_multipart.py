"""A build in one request."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pytest
from urllib3.filepost import encode_multipart_formdata

from dockmagic.builder.multipart import LONGEST_SECRET, boundary_of, fill
from dockmagic.builder.request import BuildRequest
from dockmagic.errors import InvalidParameter

Fields = list[tuple[str, tuple[str, bytes]]]
TAR = b"\0tar\r\n--not the boundary\r\n" * 40_000


class Dripping(io.BytesIO):
    """Gives a few bytes at a time, as a socket may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 7, 7) if size and size > 0 else 7)


def parsed(fields: Fields, folder: Path, kind: type[io.BytesIO] = io.BytesIO) -> BuildRequest:
    body, content_type = encode_multipart_formdata(fields)
    request = BuildRequest()
    fill(request, kind(body), boundary_of(content_type), folder)
    return request


@pytest.mark.parametrize("kind", [io.BytesIO, Dripping])
def test_every_part(tmp_path: Path, kind: type[io.BytesIO]) -> None:
    fields: Fields = [
        ("secret", ("s", b"\xff\r\nsecret")), ("ssh", ("default", b"/run/agent")), ("attribute", ("hostname", b"h")),
        ("named-context", ("url", b"docker-image://alpine")), ("named-context", ("files", b"\0" * 3000)),
        ("cache-from", ("", b"type=local,src=/c")), ("cache-to", ("", b"type=inline")),
        ("output", ("", b'{"type": "local", "dest": "/o"}')),
        ("context", ("", TAR[: 200 if kind is Dripping else None])),
    ]  # fmt: skip
    request = parsed(fields, tmp_path, kind)
    assert request.secrets == {"s": b"\xff\r\nsecret"}
    assert request.ssh == {"default": "/run/agent"}
    assert request.attributes == {"hostname": "h"}
    assert request.named_contexts["url"] == "docker-image://alpine"
    files = request.named_contexts["files"]
    assert not isinstance(files, str)
    assert read_and_close(files) == b"\0" * 3000
    assert (request.cache_from, request.cache_to) == (["type=local,src=/c"], ["type=inline"])
    assert request.outputs == [{"type": "local", "dest": "/o"}]
    assert request.context is not None
    assert request.context.read() == fields[-1][1][1]
    assert list(tmp_path.iterdir()) == []


def read_and_close(file: BinaryIO) -> bytes:
    with file:
        return file.read()


def test_without_a_context(tmp_path: Path) -> None:
    assert parsed([("secret", ("s", b""))], tmp_path).context is None


REFUSED: list[Fields] = [
    [("nonsense", ("", b""))],
    [("secret", ("s", b"x" * (LONGEST_SECRET + 1)))],
    [("output", ("", b"[]"))],
    [("output", ("", b"{"))],
]


@pytest.mark.parametrize("fields", REFUSED)
def test_refused(tmp_path: Path, fields: Fields) -> None:
    with pytest.raises(InvalidParameter):
        parsed(fields, tmp_path)


MALFORMED = [
    b"",
    b"--b\r\n",
    b'--b\r\nContent-Disposition: form-data; name="secret"\r\n\r\ncut',
    b"--b\r\n\r\nx\r\n--b--",
]


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InvalidParameter):
        fill(BuildRequest(), io.BytesIO(body), "b", tmp_path)


def test_other_types_have_no_boundary() -> None:
    assert boundary_of("application/x-tar") == ""
    assert boundary_of('multipart/form-data; boundary="a b"') == "a b"
