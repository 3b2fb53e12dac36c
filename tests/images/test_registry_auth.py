"""Who asks: challenges, logins, tokens, and where secrets must not go."""

from __future__ import annotations

import base64
import logging
import traceback
from typing import Any

import pytest

from dockmagic.errors import DockmagicError, NotFound, Unauthorized
from dockmagic.images.registry import Registry
from dockmagic.images.registry.auth import Challenge, Credentials, parse_challenges
from dockmagic.images.registry.transport import Patience
from dockmagic.images.store import Store
from tests.images.fakeregistry import FakeRegistry, fake_registry
from tests.images.samples import config_of, gz, tar_of

QUICK = Patience(attempts=2, backoff=0.0)
TAR = tar_of({"a": b"b"})
LOGIN = {"username": "me", "password": "my-secret"}


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, (), (), patience=QUICK)


@pytest.fixture
def guarded(fake: FakeRegistry) -> FakeRegistry:
    """A registry that wants a token, and has one image."""
    fake.auth, fake.users = "bearer", {"me": "my-secret"}
    fake.add_image("a", "latest", config_of([TAR]), [gz(TAR)])
    return fake


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("Basic", [Challenge("basic", {})]),
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://auth/token",service="s",scope="repository:a/b:pull,push"',
            [Challenge("bearer", {"realm": "https://auth/token", "service": "s", "scope": "repository:a/b:pull,push"})],
        ),
        (
            'Bearer realm="r", error="insufficient_scope", Basic realm="say \\"x\\""',
            [
                Challenge("bearer", {"realm": "r", "error": "insufficient_scope"}),
                Challenge("basic", {"realm": 'say "x"'}),
            ],
        ),
        ("BEARER Realm=r,Service=s", [Challenge("bearer", {"realm": "r", "service": "s"})]),
        ("=;=", []),
    ],
)
def test_challenges(header: str, found: list[Challenge]) -> None:
    assert parse_challenges(header) == found


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        (None, Credentials()),
        ({"username": "u", "password": "p"}, Credentials("u", "p")),
        ({"auth": base64.b64encode(b"u:p:q").decode()}, Credentials("u", "p:q")),
        ({"auth": "not base64!"}, Credentials()),
        ({"identitytoken": "i"}, Credentials(identity_token="i")),
        ({"registrytoken": "r", "username": 7}, Credentials(registry_token="r")),
    ],
)
def test_credentials_of_dockers_dictionary(auth: Any, found: Credentials) -> None:
    assert Credentials.from_docker(auth) == found


def test_without_a_login_a_public_image_is_pulled_with_a_token(guarded: FakeRegistry, registry: Registry) -> None:
    registry.pull(f"{guarded.host}/a")
    (asked,) = [path for _, path, _ in guarded.requests if path.startswith("/token")]
    assert "scope=repository%3Aa%3Apull&service=fake" in asked
    assert {headers["Authorization"] for headers in guarded.asked("GET", "/blobs/")} == {"Bearer token-0"}


def test_a_login_is_shown_to_the_token_server_only(guarded: FakeRegistry, registry: Registry) -> None:
    guarded.anonymous = False
    registry.pull(f"{guarded.host}/a", auth=LOGIN)
    (token,) = guarded.asked("GET", "/token")
    assert token["Authorization"] == basic("me", "my-secret")
    shown = {headers.get("Authorization", "") for _, path, headers in guarded.requests if path.startswith("/v2/a/")}
    assert all(not value.startswith("Basic") for value in shown)


def test_an_identity_token_is_exchanged(guarded: FakeRegistry, registry: Registry) -> None:
    guarded.anonymous = False
    registry.pull(f"{guarded.host}/a", auth={"username": "me", "identitytoken": "refresh-secret"})
    assert len(guarded.asked("POST", "/token")) == 1
    assert not guarded.asked("GET", "/token")


def test_a_registry_token_is_used_as_it_is(guarded: FakeRegistry, registry: Registry) -> None:
    guarded.tokens.add("given")
    registry.pull(f"{guarded.host}/a", auth={"registrytoken": "given"})
    assert not guarded.asked("GET", "/token")


def test_a_token_that_ran_out_is_replaced(guarded: FakeRegistry, registry: Registry) -> None:
    def forget(method: str, path: str) -> None:
        if "/blobs/" in path and len(guarded.tokens) == 1:
            guarded.tokens.clear()
            guarded.tokens.add("other")

    guarded.answer = forget
    registry.pull(f"{guarded.host}/a")
    assert len(guarded.asked("GET", "/token")) >= 2


def test_basic(fake: FakeRegistry, registry: Registry) -> None:
    fake.auth, fake.users = "basic", {"me": "my-secret"}
    fake.add_image("a", "latest", config_of([TAR]), [gz(TAR)])
    registry.pull(f"{fake.host}/a", auth=LOGIN)
    with pytest.raises(Unauthorized, match=r'Get "http://.*": no basic auth credentials'):
        registry.pull(f"{fake.host}/a")
    with pytest.raises(Unauthorized, match="unauthorized: authentication required"):
        registry.pull(f"{fake.host}/a", auth={"username": "me", "password": "wrong-secret"})


def test_denied_in_dockers_words(guarded: FakeRegistry, registry: Registry) -> None:
    header = 'Bearer realm="x",error="insufficient_scope"'

    def deny(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        return (401, {"WWW-Authenticate": header}, b"{}") if "/manifests/" in path else None

    guarded.answer = deny
    guarded.auth = ""
    with pytest.raises(DockmagicError) as raised:
        registry.pull(f"{guarded.host}/a", auth={"registrytoken": "t"})
    assert isinstance(raised.value, NotFound)
    assert str(raised.value) == (
        f"pull access denied for {guarded.host}/a, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied"
    )


def test_logging_in(guarded: FakeRegistry, registry: Registry) -> None:
    guarded.anonymous = False
    told = registry.login({**LOGIN, "serveraddress": guarded.host})
    assert told == {"Status": "Login Succeeded", "IdentityToken": "refresh-secret"}
    with pytest.raises(Unauthorized, match="unauthorized: incorrect username or password"):
        registry.login({"username": "me", "password": "wrong", "serveraddress": guarded.url})


def test_logging_in_with_basic(fake: FakeRegistry, registry: Registry) -> None:
    fake.auth, fake.users = "basic", {"me": "my-secret"}
    assert registry.login({**LOGIN, "serveraddress": fake.host})["Status"] == "Login Succeeded"
    with pytest.raises(Unauthorized, match=r'Get "http://.*/v2/": unauthorized: authentication required'):
        registry.login({"username": "me", "password": "wrong", "serveraddress": fake.host})


def test_a_redirect_to_another_host_carries_no_authorization(guarded: FakeRegistry, registry: Registry) -> None:
    with fake_registry() as cdn:
        cdn.blobs = guarded.blobs
        guarded.redirect_blobs_to = cdn.url
        registry.pull(f"{guarded.host}/a", auth=LOGIN)
        assert len(cdn.asked("GET", "/blobs/")) == 2
        assert all("Authorization" not in headers for headers in cdn.asked("GET", "/blobs/"))


def test_an_upload_at_another_host_carries_no_authorization(
    guarded: FakeRegistry, registry: Registry, store: Store
) -> None:
    image = registry.pull(f"{guarded.host}/a")
    store.tag(image.id, f"{guarded.host}/b:1")
    guarded.allow_mounts = False
    with fake_registry() as other:
        other.blobs = guarded.blobs

        def elsewhere(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
            if method != "POST" or "mount=" in path:
                return None
            other.uploads[f"u{len(other.requests)}"] = bytearray()
            return 202, {"Location": f"{other.url}/v2/b/blobs/uploads/u{len(other.requests)}"}, b""

        guarded.answer = elsewhere
        registry.push(f"{guarded.host}/b:1", auth=LOGIN)
        assert len(other.asked("PATCH", "/uploads/")) == 2
        assert all("Authorization" not in headers for _, _, headers in other.requests)


def test_a_login_is_not_sent_to_a_token_server_without_tls(store: Store) -> None:
    from dockmagic.images.registry.auth import Authorizer

    def send(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("something was sent")

    authorizer = Authorizer(Credentials("me", "my-secret"), ["repository:a:pull"], send)
    challenge = Challenge("bearer", {"realm": "http://elsewhere.example/token"})
    with pytest.raises(Unauthorized, match="without TLS"):
        authorizer.answer([challenge], "", "https://registry.example/v2/", "GET")


@pytest.mark.parametrize("trouble", ["cdn", "token", "denied"])
def test_no_secret_in_errors_or_logs(
    guarded: FakeRegistry, registry: Registry, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    caplog.set_level(logging.DEBUG, logger="dockmagic")
    if trouble == "cdn":
        guarded.redirect_blobs_to = "http://127.0.0.1:9"
    elif trouble == "token":
        guarded.users = {"me": "another"}
    else:
        guarded.answer = lambda method, path: (403, {}, b"") if "/blobs/" in path else None
    messages: list[dict[str, Any]] = []
    with pytest.raises(DockmagicError) as raised:
        registry.pull(f"{guarded.host}/a", auth=LOGIN, progress=messages.append)
    text = "".join(traceback.format_exception(raised.value)) + repr(messages) + caplog.text
    for secret in ("my-secret", basic("me", "my-secret")[6:], "cdn-secret", "token-0"):
        assert secret not in text
    assert "my-secret" not in repr(Credentials.from_docker(LOGIN))


def test_netrc_is_not_read(
    guarded: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password netrc-secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    registry.pull(f"{guarded.host}/a")
    assert all(not headers.get("Authorization", "").startswith("Basic") for _, _, headers in guarded.requests)
