"""Credentials for registries from docker's own configuration and its helpers, as the API's headers want them."""

from __future__ import annotations

import base64
import json
from typing import Any

from dockmagic.client import read_config
from dockmagic.commands import references


def encode(value: dict[str, Any]) -> str:
    """JSON in URL-safe base64, the form of X-Registry-Auth and X-Registry-Config."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def registry_auth(repository: str) -> str:
    """The X-Registry-Auth of a repository's registry; "" when there are no credentials."""
    from docker import auth, errors

    domain = references.domain_of(repository)
    try:
        config = auth.load_config(config_dict=read_config() or None)
        found = config.resolve_authconfig(None if domain == "docker.io" else domain)
    except errors.DockerException:  # a credential helper that is missing or fails: go on without
        return ""
    return encode(found) if found else ""


def all_auths() -> dict[str, str]:
    """The X-Registry-Config header with every registry's credentials; {} when there are none."""
    from docker import auth, errors

    try:
        known = auth.load_config(config_dict=read_config() or None).get_all_credentials()  # type: ignore[no-untyped-call,unused-ignore]
    except errors.DockerException:
        return {}
    return {"X-Registry-Config": encode(known)} if known else {}
