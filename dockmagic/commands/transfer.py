"""Between an engine and registries: pull, push, login, logout, search."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from typing import Any

from dockmagic.client import config_folder, read_config
from dockmagic.commands import references
from dockmagic.commands.credentials import encode, registry_auth
from dockmagic.commands.errors import CommandError, EngineError, Interrupted
from dockmagic.commands.flags import Options
from dockmagic.commands.listing import Listing, parse_filters
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import shorten
from dockmagic.views.pull import PullProgress
from dockmagic.views.text import Text
from dockmagic.views.view import View

HUB = "https://index.docker.io/v1/"


@command
def pull(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker pull [OPTIONS] NAME[:TAG|@DIGEST]

    Download an image from a registry

    Aliases:
      docker image pull, docker pull

    Options:
      -a, --all-tags                Download all tagged images in the repository
          --disable-content-trust   Skip image verification (default true)
          --platform string         Set platform if server is multi-platform capable
      -q, --quiet                   Suppress verbose output
    """
    name = operands[0]
    every = options.on("all-tags")
    if every and (references.tag_of(name) or "@" in name):
        raise CommandError("tag can't be used with --all-tags/-a")
    quiet = options.on("quiet")
    if not every and not references.tag_of(name) and "@" not in name and not quiet:
        session.console.out(b"Using default tag: latest\n")
    pull_image(session, name, platform=options.text("platform"), quiet=quiet, every=every)
    full = references.canonical(name, tagged=not every)
    session.console.out(f"{full}\n".encode())
    return None


def pull_image(
    session: Session, name: str, *, platform: str = "", quiet: bool = False, every: bool = False, notes: bool = False
) -> None:
    """Pull ``name``, shown live; ``notes`` puts the progress where docker's remarks go. Raises CommandError."""
    repository, tag = references.split(name)
    progress = PullProgress(quiet)
    live = session.console.live(notes=notes)
    messages = session.engine.messages(
        "POST", "/images/create",
        fromImage=repository, tag=None if every else tag or "latest", platform=platform or None,
        headers={"X-Registry-Auth": registry_auth(repository)},
    )  # fmt: skip
    _show(session, messages, progress, live, f"pull of {name}")


def _show(
    session: Session, messages: Any, progress: PullProgress, live: Any, what: str, *, pushing: bool = False
) -> None:
    try:
        with contextlib.closing(messages):
            for message in messages:
                progress.add(message)
                live.update(progress)
    except KeyboardInterrupt:
        live.close(progress)
        raise Interrupted(f"Interrupted: the {what} was stopped; whole layers are kept for the next try") from None
    except BaseException:
        live.close(None)
        raise
    live.close(progress)
    if progress.error:
        raise EngineError(500, progress.error) if not (progress.layers or pushing) else CommandError(progress.error)


@command
def push(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker push [OPTIONS] NAME[:TAG]

    Upload an image to a registry

    Aliases:
      docker image push, docker push

    Options:
      -a, --all-tags                Push all tags of an image to the repository
          --disable-content-trust   Skip image signing (default true)
      -q, --quiet                   Suppress verbose output
    """
    name = session.image(operands[0])
    repository, tag = references.split(name)
    every, quiet = options.on("all-tags"), options.on("quiet")
    if every and tag:
        raise CommandError("tag can't be used with --all-tags/-a")
    if not every and not tag and not quiet:
        session.console.out(b"Using default tag: latest\n")
    if not every and not tag:
        tag = "latest"
    progress = PullProgress(quiet)
    live = session.console.live()
    messages = session.engine.messages(
        "POST", f"/images/{repository}/push", tag=None if every else tag,
        headers={"X-Registry-Auth": registry_auth(repository) or encode({})},
    )  # fmt: skip
    _show(session, messages, progress, live, f"push of {name}", pushing=True)
    if quiet:
        session.console.out(f"{references.canonical(name)}\n".encode())
    return None


@command
def login(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker login [OPTIONS] [SERVER]

    Authenticate to a registry.
    Defaults to Docker Hub if no server is specified.

    Options:
      -p, --password string   Password or Personal Access Token (PAT)
          --password-stdin    Take the Password or Personal Access Token (PAT) from stdin
      -u, --username string   Username
    """
    server = operands[0] if operands else HUB
    user, password = options.text("username"), options.text("password")
    console = session.console
    if options.on("password-stdin"):
        if password:
            raise CommandError("--password and --password-stdin are mutually exclusive")
        if not user:
            raise CommandError("Must provide --username with --password-stdin")
        password = console.stdin.read().decode().rstrip("\r\n") if console.stdin else ""
    elif password:
        console.note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if not user and console.confirms:
        user = console.ask("Username: ").strip()
    if not password and console.confirms:
        password = console.ask("Password: ", secret=True)
    if not user or not password:
        raise CommandError("Error: Cannot perform an interactive login from a non TTY device")
    answer = session.engine.post("/auth", {"username": user, "password": password, "serveraddress": server})
    _store(server, user, password, str((answer or {}).get("IdentityToken") or ""))
    return Text((answer or {}).get("Status") or "Login Succeeded")


def _store(server: str, user: str, password: str, token: str) -> None:
    """Write the credentials to config.json (mode 0600), as docker does where no credential store is set."""
    config = read_config()
    entry = {"auth": base64.b64encode(f"{user}:{'' if token else password}".encode()).decode()}
    if token:
        entry["identitytoken"] = token
    config.setdefault("auths", {})[server] = entry
    write_config(config)


def write_config(config: dict[str, Any]) -> None:
    """Replace config.json whole; mode 0600, for it may hold credentials."""
    folder = config_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "config.json"
    temporary = path.with_name(f"config.json{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(config, out, indent="\t")
    temporary.replace(path)


@command
def logout(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker logout [SERVER]

    Log out from a registry.
    If no server is specified, the default is defined by the daemon.
    """
    del session, options
    # docker says that it removes them whether there were any or not
    server = operands[0] if operands else HUB
    config = read_config()
    if config.get("auths", {}).pop(server, None) is not None:
        write_config(config)
    return Text(f"Removing login credentials for {server}")


SEARCH = Listing(
    "*search.searchContext",
    {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"},
    ("Name", "Description", "StarCount", "IsOfficial"),
    key="Name",
)


@command
def search(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker search [OPTIONS] TERM

    Search Docker Hub for images

    Options:
      -f, --filter filter   Filter output based on conditions provided
          --format string   Pretty-print search using a Go template
          --limit int       Max number of search results
          --no-trunc        Don't truncate output
    """
    found = session.engine.get(
        "/images/search",
        term=operands[0],
        limit=options.number("limit") or None,
        filters=parse_filters(options.all("filter")),
    )
    rows = []
    for item in found or []:
        text = " ".join(str(item.get("description", "")).split())
        rows.append(
            {
                "Name": item.get("name", ""),
                "Description": text if options.on("no-trunc") else shorten(text, 45),
                "StarCount": str(item.get("star_count", 0)),
                "IsOfficial": "[OK]" if item.get("is_official") else "",
            }
        )
    return SEARCH.show(rows, options.text("format"))
