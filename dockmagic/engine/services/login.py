"""docker login: whether a registry takes credentials."""

from __future__ import annotations

import base64
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from dockmagic.errors import DockmagicError, InvalidParameter, Unauthorized, Unavailable

_TIMEOUT = 15


def login(auth: Mapping[str, Any]) -> dict[str, str]:
    """The API's SystemAuthResponse. Raises Unauthorized, Unavailable, InvalidParameter."""
    address = auth.get("serveraddress") or "https://index.docker.io/v1/"
    host = urllib.parse.urlsplit(address if "://" in address else f"//{address}").netloc
    if not host:
        raise InvalidParameter(f"invalid registry address: {address}")
    if host == "index.docker.io":
        host = "registry-1.docker.io"
    scheme = "http" if host.rpartition(":")[0] in {"localhost", "127.0.0.1", "[::1]"} else "https"
    url = f"{scheme}://{host}/v2/"
    basic = base64.b64encode(f"{auth.get('username', '')}:{auth.get('password', '')}".encode()).decode()
    status, challenge = _get(url, f"Basic {basic}", host)
    if status == 401 and challenge.lower().startswith("bearer "):
        fields = dict(_fields(challenge[7:]))
        query = urllib.parse.urlencode({"service": fields.get("service", ""), "account": auth.get("username", "")})
        status, _ = _get(f"{fields.get('realm', '')}?{query}", f"Basic {basic}", host)
    if status in {401, 403}:
        raise Unauthorized(f'Get "{url}": unauthorized: incorrect username or password')
    if status != 200:
        raise DockmagicError(f"login attempt to {url} failed with status: {status}")
    return {"Status": "Login Succeeded", "IdentityToken": ""}


def _get(url: str, authorization: str, host: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return int(answer.status), ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("WWW-Authenticate", "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unavailable(f'Get "{url}": registry {host} is not in reach: {reason}') from None


def _fields(text: str) -> list[tuple[str, str]]:
    import re

    return re.findall(r'(\w+)="([^"]*)"', text)
