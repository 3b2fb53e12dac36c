"""The small pure parts: index entries, endpoints, progress bars, errors."""

from __future__ import annotations

import itertools
import socket
import ssl

import pytest

from dockmagic.errors import InvalidParameter
from dockmagic.images.index import choose
from dockmagic.images.registry.endpoints import Endpoints
from dockmagic.images.registry.failures import BrokenTransfer, RegistryUnreachable, from_answer, from_network, shown
from dockmagic.images.registry.progress import Progress, bar, human_size
from dockmagic.platforms import Platform


def offered(*texts: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for text in texts:
        os, architecture, *variant = text.split("/")
        found.append(
            {"digest": text, "platform": {"os": os, "architecture": architecture, "variant": "".join(variant)}}
        )
    return found


@pytest.mark.parametrize(
    ("wanted", "entries", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/386"], "linux/386"),
        ("linux/amd64", ["linux/amd64/v3"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2"], "linux/amd64/v2"),
        ("linux/arm64", ["linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
        ("linux/arm/v7", ["linux/arm64/v8"], None),
        ("linux/amd64", ["windows/amd64", "unknown/unknown"], None),
    ],
)
def test_the_best_fitting_image_is_chosen(wanted: str, entries: list[str], chosen: str | None) -> None:
    found = choose(offered(*entries), Platform.parse(wanted))
    assert (found and found["digest"]) == chosen


def test_docker_io_has_mirrors_and_others_have_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKMAGIC_REGISTRY_MIRRORS", "https://one.example/path/, two.example:5000 http://127.0.0.1:80")
    endpoints = Endpoints.from_environment()
    assert [endpoint.bases for endpoint in endpoints.pulling("docker.io")] == [
        ("https://one.example/path",),
        ("https://two.example:5000",),
        ("http://127.0.0.1:80",),
        ("https://registry-1.docker.io",),
    ]
    assert [endpoint.bases for endpoint in endpoints.pulling("ghcr.io")] == [("https://ghcr.io",)]
    assert [endpoint.bases for endpoint in endpoints.pushing("docker.io")] == [("https://registry-1.docker.io",)]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:5000", True),
        ("127.3.2.1", True),
        ("[::1]:5000", True),
        ("localhost.example", False),
        ("10.1.2.3:5000", True),
        ("11.1.2.3:5000", False),
        ("lab:5000", True),
        ("lab:5001", False),
        ("any.example:7", True),
    ],
)
def test_plain_http_is_for_loopback_and_named_registries(
    host: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKMAGIC_INSECURE_REGISTRIES", "10.0.0.0/8,lab:5000 any.example")
    (endpoint,) = Endpoints.from_environment().pulling(host)
    assert (f"http://{host}" in endpoint.bases) == allowed
    assert (endpoint.verify is False) == allowed


def test_a_mirrors_password_is_used_but_never_shown() -> None:
    endpoints = Endpoints(["https://me:mirror%2Dsecret@mirror.example"])
    mirror = endpoints.pulling("docker.io")[0]
    assert (mirror.username, mirror.password) == ("me", "mirror-secret")
    assert "secret" not in repr(mirror) + repr(endpoints.mirrors)
    with pytest.raises(InvalidParameter) as raised:
        Endpoints(["ftp://me:mirror-secret@mirror.example"])
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("current", "total", "drawn"),
    [
        (0, 0, ""),
        (20, 0, "     20B"),
        (20, 100, "[==========>                                        ]      20B/100B"),
        (50, 100, "[=========================>                         ]      50B/100B"),
        (100, 100, "[==================================================>]     100B/100B"),
        (50, 40, "     50B"),
    ],
)
def test_the_bar_is_dockers(current: int, total: int, drawn: str) -> None:
    """Cases of moby's pkg/jsonmessage tests."""
    assert bar(current, total) == drawn


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1024, "1.024kB"), (3_330_000, "3.33MB"), (12_345_678_901, "12.35GB")],
)
def test_sizes_are_dockers(size: int, text: str) -> None:
    assert human_size(size) == text


def test_bytes_are_told_as_often_as_people_can_read() -> None:
    messages: list[dict[str, object]] = []
    clock = itertools.count(0, 0.03)
    progress = Progress(messages.append, lambda: next(clock))
    for current in range(1, 101):
        progress.moved("x", "Downloading", current, 100)
    assert 20 < len(messages) < 30
    assert messages[-1]["progressDetail"] == {"current": 100, "total": 100}


def test_urls_are_shown_without_secrets() -> None:
    assert shown("https://u:p@h.example:5000/v2/a?token=x#y") == "https://h.example:5000/v2/a"


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        (socket.gaierror(-2, "x"), RegistryUnreachable, "dial tcp: lookup h: no such host"),
        (ConnectionRefusedError(111, "x"), RegistryUnreachable, "dial tcp h:443: connect: connection refused"),
        (OSError(101, "x"), RegistryUnreachable, "dial tcp h:443: connect: network is unreachable"),
        (ssl.SSLError(1, "[X] y"), RegistryUnreachable, "tls: handshake failure"),
        (ssl.SSLCertVerificationError(1, "x"), RegistryUnreachable, "tls: failed to verify certificate: "),
        (ssl.SSLEOFError(8, "x"), BrokenTransfer, "unexpected EOF"),
        (ConnectionResetError(104, "x"), BrokenTransfer, "unexpected EOF"),
    ],
)
def test_network_failures_have_gos_words(cause: OSError, kind: type, words: str) -> None:
    outer = RuntimeError("wrapped", cause)
    found = from_network("GET", "https://h/v2/?secret=1", outer)
    assert type(found) is kind
    assert str(found).startswith('Get "https://h/v2/": ')
    assert words in str(found)


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no"}]}', "name unknown: no"),
        (404, b"<html>", "manifest unknown: manifest unknown"),
        (401, b"", "unauthorized: authentication required"),
        (403, b"[]", "denied: requested access to the resource is denied"),
        (429, b'{"errors": [7]}', "toomanyrequests: too many requests"),
        (500, b"boom", "received unexpected HTTP status: 500 Internal Server Error"),
        (400, b'{"errors":[{"code":"X_Y"}]}', "x y: x_y"),
    ],
)
def test_answers_of_a_registry_become_errors(status: int, body: bytes, text: str) -> None:
    assert str(from_answer(status, body, None, "manifests")) == text
