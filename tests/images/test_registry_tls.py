"""Registries that speak TLS, with a certificate nobody knows."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

from dockmagic.images.registry import Registry, RegistryUnreachable, endpoints
from dockmagic.images.registry.auth import Credentials
from dockmagic.images.registry.endpoints import Endpoint
from dockmagic.images.registry.transport import Patience, Transport
from dockmagic.images.store import Store
from tests.images.fakeregistry import FakeRegistry
from tests.images.samples import config_of, gz, sha, tar_of

QUICK = Patience(attempts=2, backoff=0.0)
TAR = tar_of({"a": b"b"})


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, crt, both = tmp_path / "key", tmp_path / "crt", tmp_path / "both"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(crt)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + crt.read_bytes())
    return both


@pytest.fixture
def secured(fake: FakeRegistry, certificate: Path) -> FakeRegistry:
    fake.add_image("a", "latest", config_of([TAR]), [gz(TAR)])
    fake.speak_tls(str(certificate))
    return fake


def test_on_loopback_any_certificate_will_do(secured: FakeRegistry, store: Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Registry(store, (), (), patience=QUICK).pull(f"{secured.host}/a")
    assert image.id == sha(config_of([TAR]))


def test_elsewhere_it_must_be_known(secured: FakeRegistry) -> None:
    endpoint = Endpoint(secured.host, (f"https://{secured.host}",))
    with (
        Transport(endpoint, "a", Credentials(), patience=QUICK) as transport,
        pytest.raises(RegistryUnreachable, match="tls: failed to verify certificate: self"),
    ):
        transport.connect()
    assert secured.requests == []


def test_a_registrys_own_authority(
    secured: FakeRegistry, store: Store, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "certs.d" / secured.host
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "crt", folder / "ca.crt")
    monkeypatch.setattr(endpoints, "CERTIFICATES", str(tmp_path / "certs.d"))
    monkeypatch.setattr(endpoints.Endpoints, "is_insecure", lambda self, host: False)
    Registry(store, (), (), patience=QUICK).pull(f"{secured.host}/a")
    assert secured.asked("GET", "/manifests/")


def test_plain_http_is_not_tried_where_it_is_not_allowed(fake: FakeRegistry) -> None:
    endpoint = Endpoint(fake.host, (f"https://{fake.host}",))
    with Transport(endpoint, "a", Credentials(), patience=QUICK) as transport, pytest.raises(RegistryUnreachable):
        transport.connect()
    assert fake.requests == []
