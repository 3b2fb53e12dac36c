"""docker context …: which engine commands go to. The store is docker's own, under ~/.docker/contexts."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from dockmagic import client
from dockmagic.commands.errors import CommandError
from dockmagic.commands.flags import Options
from dockmagic.commands.gotemplate import TemplateError
from dockmagic.commands.gotemplate.values import go_json
from dockmagic.commands.listing import Listing, parse_template
from dockmagic.commands.session import Session
from dockmagic.commands.transfer import write_config
from dockmagic.commands.tree import command
from dockmagic.errors import InvalidParameter
from dockmagic.views.text import Json, Text
from dockmagic.views.view import View

CONTEXTS = Listing(
    "*formatter.ClientContext",
    {"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Error": "ERROR"},
    ("Name", "Description", "DockerEndpoint", "Error"),
    key="Name",
)


def _names() -> list[str]:
    folder = client.config_folder() / "contexts" / "meta"
    found = []
    for path in sorted(folder.glob("*/meta.json")) if folder.is_dir() else []:
        try:
            found.append(str(json.loads(path.read_text())["Name"]))
        except (OSError, ValueError, KeyError):
            continue
    return sorted(found)


def _read(name: str) -> dict[str, Any]:
    try:
        return client.read_context(name)
    except InvalidParameter as error:
        raise CommandError(str(error)) from None


def _current() -> str:
    if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKMAGIC_HOST"):
        return "default"
    return os.environ.get("DOCKER_CONTEXT") or client.current_context() or "default"


def _default_endpoint(session: Session) -> str:
    try:
        return session.choice.url if _current() == "default" else "unix:///var/run/docker.sock"
    except CommandError:
        return ""


@command
def ls(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker context ls [OPTIONS]

    List contexts

    Aliases:
      docker context ls, docker context list

    Options:
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -q, --quiet           Only show context names
    """
    current, quiet, form = _current(), options.on("quiet"), options.text("format")
    described = [("default", "Current DOCKER_HOST based configuration", _default_endpoint(session))]
    for name in _names():
        meta = _read(name)
        endpoint = meta.get("Endpoints", {}).get("docker", {}).get("Host", "")
        described.append((name, meta.get("Metadata", {}).get("Description", ""), endpoint))
    starred = not quiet and form in {"", "table"}
    rows = [
        {
            "Name": f"{name} *" if starred and name == current else name,
            "Description": description,
            "DockerEndpoint": endpoint,
            "Current": name == current,
            "Error": "",
        }
        for name, description, endpoint in described
    ]
    if os.environ.get("DOCKER_HOST"):
        session.console.note(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the "
            "global --context flag, or unset DOCKER_HOST environment variable."
        )
    return CONTEXTS.show(rows, form, quiet=quiet)


@command
def show(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker context show

    Print the name of the current context
    """
    return Text(_current())


@command
def use(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker context use CONTEXT

    Set the current docker context
    """
    name = operands[0]
    if name != "default":
        _read(name)
    config = client.read_config()
    config.pop("currentContext", None)
    if name != "default":
        config["currentContext"] = name
    write_config(config)
    for variable in ("DOCKMAGIC_HOST", "DOCKER_HOST"):
        if os.environ.get(variable):
            session.console.note(
                f'Warning: {variable} environment variable overrides the active context. To use "{name}", either '
                f"set the global --context flag, or unset {variable} environment variable."
            )
    session.console.note(f'Current context is now "{name}"')
    return Text(name)


@command
def create(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker context create [OPTIONS] CONTEXT

    Create a context

    Docker endpoint config:

    NAME                DESCRIPTION
    from                Copy named context's Docker endpoint configuration
    host                Docker endpoint on which to connect
    ca                  Trust certs signed only by this CA
    cert                Path to TLS certificate file
    key                 Path to TLS key file
    skip-tls-verify     Skip TLS certificate validation

    Example:

    $ docker context create my-context --description "some description" --docker "host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file"

    Options:
          --description string      Description of the context
          --docker stringToString   set the docker endpoint (default [])
          --from string             create context from a named context
    """
    name = operands[0]
    if name == "default" or name in _names():
        raise CommandError(f'context "{name}" already exists')
    given = dict(pair.partition("=")[::2] for value in options.all("docker") for pair in value.split(",") if pair)
    source = options.text("from") or given.get("from", "")
    endpoint: dict[str, Any] = {"Host": given.get("host", ""), "SkipTLSVerify": given.get("skip-tls-verify") == "true"}
    if source and source != "default":
        endpoint = _read(source)["Endpoints"]["docker"]
    elif source or not given:
        endpoint["Host"] = endpoint["Host"] or _default_endpoint(session)
    folder = client.context_folder(name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    meta = {
        "Name": name,
        "Metadata": {"Description": options.text("description")} if options.given("description") else {},
        "Endpoints": {"docker": endpoint},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    files = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
    for key, base in files.items():
        if given.get(key):
            target = client.context_folder(name, "tls") / "docker"
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(os.path.expanduser(given[key]), target / base)
    session.console.note(f'Successfully created context "{name}"')
    return Text(name)


@command
def rm(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker context rm CONTEXT [CONTEXT...]

    Remove one or more contexts

    Aliases:
      docker context rm, docker context remove

    Options:
      -f, --force   Force the removal of a context in use
    """
    for name in operands:
        if name == "default":
            raise CommandError('default: context "default" cannot be removed')
        if name not in _names():
            raise CommandError(f'{name}: context "{name}" not found')
        if name == _current() and not options.on("force"):
            raise CommandError(f'{name}: context "{name}" is in use, set -f flag to force remove')
        if name == client.current_context():
            config = client.read_config()
            config.pop("currentContext", None)
            write_config(config)
        for kind in ("meta", "tls"):
            shutil.rmtree(client.context_folder(name, kind), ignore_errors=True)
    return Text("\n".join(operands))


@command
def inspect(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker context inspect [OPTIONS] [CONTEXT] [CONTEXT...]

    Display detailed information on one or more contexts

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
    """
    found = []
    for name in operands or [_current()]:
        if name == "default":
            endpoint = {"Host": _default_endpoint(session), "SkipTLSVerify": False}
            meta: dict[str, Any] = {"Name": "default", "Metadata": {}, "Endpoints": {"docker": endpoint}}
        else:
            meta = _read(name)
        storage = {"MetadataPath": str(client.context_folder(name)), "TLSPath": str(client.context_folder(name, "tls"))}
        found.append({**meta, "TLSMaterial": {}, "Storage": storage})
    form = options.text("format")
    if form in {"", "json"}:
        return Json(found, go_json(found, indent=4 if not form else None))
    template = parse_template(form)
    try:
        return Text("\n".join(template.execute(value) for value in found))
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}") from None
