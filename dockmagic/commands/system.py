"""The engine itself: version, info, events, prune, and the picture of who talks to whom."""

from __future__ import annotations

import contextlib
import platform
import time
from typing import Any

from dockmagic import __version__
from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.gotemplate import TemplateError, Typed
from dockmagic.commands.gotemplate.values import go_json
from dockmagic.commands.images import deleted_images
from dockmagic.commands.lifecycle import confirmed
from dockmagic.commands.listing import parse_filters, parse_template
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import parse_when, units_size
from dockmagic.views.flow import Flow
from dockmagic.views.text import Json, Text
from dockmagic.views.view import View

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


OWN_LABELS = "dockmagic."
"""How dockmagic's engine tells of its runtime in /info: labels that begin so."""


@command
def version(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker version [OPTIONS]

    Show the Docker version information

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
    """
    machine = platform.machine()
    own = {
        "Version": __version__,
        "ApiVersion": "",
        "PythonVersion": platform.python_version(),
        "Os": platform.system().lower(),
        "Arch": _ARCHITECTURES.get(machine, machine),
        "Context": _context(session),
    }
    try:
        server: dict[str, Any] | None = session.engine.version()
        own["ApiVersion"] = str(session.engine.client.api.api_version)
        failure = None
    except CommandError as error:
        server, failure = None, error
    form = options.text("format")
    if form:
        return _formatted({"Client": own, "Server": server}, form, "system.versionInfo")
    lines = [
        "Client: dockmagic",
        f" Version:           {own['Version']}",
        f" API version:       {own['ApiVersion']}",
        f" Python version:    {own['PythonVersion']}",
        f" OS/Arch:           {own['Os']}/{own['Arch']}",
        f" Context:           {own['Context']}",
    ]
    if server is None:
        session.console.out(("\n".join(lines) + "\n").encode())
        raise failure or CommandError("no engine answers")
    lines += ["", f"Server: {(server.get('Platform') or {}).get('Name', '')}".rstrip()]
    for component in server.get("Components") or [{"Name": "Engine", "Version": server.get("Version"), "Details": {}}]:
        lines += [f" {component['Name']}:", f"  Version:          {component.get('Version', '')}"]
        lines += _component(component.get("Details") or {})
    return Text("\n".join(lines))


def _component(details: dict[str, str]) -> list[str]:
    named = {
        "API version": f"{details['ApiVersion']} (minimum version {details.get('MinAPIVersion', '')})"
        if "ApiVersion" in details
        else None,
        "Go version": details.get("GoVersion"),
        "Python version": details.get("PythonVersion"),
        "Git commit": details.get("GitCommit") if "ApiVersion" in details else None,
        "Built": details.get("BuildTime"),
        "OS/Arch": f"{details['Os']}/{details['Arch']}" if "Os" in details and "Arch" in details else None,
        "Experimental": details.get("Experimental"),
        "GitCommit": details.get("GitCommit") if "ApiVersion" not in details else None,
    }
    return [f"  {name + ':':<17} {value}" for name, value in named.items() if value is not None]


def _context(session: Session) -> str:
    reason = session.choice.reason
    return reason.removeprefix("context ") if reason.startswith("context ") else "default"


def _formatted(value: dict[str, Any], form: str, type_name: str) -> View:
    if form == "json":
        return Json(value, go_json(value))
    template = parse_template(form)
    try:
        return Text(template.execute(Typed(type_name, value)))
    except TemplateError as error:
        raise CommandError(str(error)) from None


@command
def info(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker info [OPTIONS]

    Display system-wide information

    Aliases:
      docker system info, docker info

    Options:
      -f, --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
    """
    choice = session.choice
    found = session.engine.get("/info")
    own = {"Version": __version__, "Context": _context(session), "Engine": choice.url, "ChosenBy": choice.reason}
    form = options.text("format")
    if form:
        return _formatted({**found, "ClientInfo": own}, form, "system.dockerInfo")
    chosen = "dockmagic's own, started on demand" if choice.embedded else f"chosen by {choice.reason}"
    lines = [
        "Client: dockmagic", f" Version:    {__version__}", f" Context:    {own['Context']}",
        f" Engine:     {choice.url} ({chosen})", "", "Server:", *_server_lines(found),
    ]  # fmt: skip
    return Text("\n".join(lines))


def _server_lines(i: dict[str, Any]) -> list[str]:
    lines = [f" Containers: {i.get('Containers', 0)}"]
    lines += [f"  {k}: {i.get(f'Containers{k}', 0)}" for k in ("Running", "Paused", "Stopped")]
    lines += [f" Images: {i.get('Images', 0)}", f" Server Version: {i.get('ServerVersion', '')}"]
    if i.get("Driver"):
        lines.append(f" Storage Driver: {i['Driver']}")
        lines += [f"  {name}: {value}" for name, value in i.get("DriverStatus") or []]
    named = {
        "Logging Driver": "LoggingDriver", "Cgroup Driver": "CgroupDriver", "Cgroup Version": "CgroupVersion",
    }  # fmt: skip
    lines += [f" {name}: {i[key]}" for name, key in named.items() if i.get(key)]
    plugins = i.get("Plugins") or {}
    if any(plugins.get(k) for k in ("Volume", "Network", "Log")):
        lines.append(" Plugins:")
        lines += [f"  {k}: {' '.join(plugins[k])}" for k in ("Volume", "Network", "Log") if plugins.get(k)]
    swarm = (i.get("Swarm") or {}).get("LocalNodeState")
    if swarm:
        lines.append(f" Swarm: {swarm}")
    if i.get("Runtimes"):
        lines.append(f" Runtimes: {' '.join(sorted(i['Runtimes']))}")
    if i.get("DefaultRuntime"):
        lines.append(f" Default Runtime: {i['DefaultRuntime']}")
    if i.get("SecurityOptions"):
        lines.append(" Security Options:")
        for option in i["SecurityOptions"]:
            name, *details = [pair.partition("=")[2] or pair for pair in str(option).split(",")]
            lines += [f"  {name}", *(f"   Profile: {d}" for d in details)]
    lines += [
        f" Kernel Version: {i.get('KernelVersion', '')}",
        f" Operating System: {i.get('OperatingSystem', '')}",
        f" OSType: {i.get('OSType', '')}",
        f" Architecture: {i.get('Architecture', '')}",
        f" CPUs: {i.get('NCPU', 0)}",
        f" Total Memory: {units_size(i.get('MemTotal', 0), 1024.0)}",
        f" Name: {i.get('Name', '')}",
        f" ID: {i.get('ID', '')}",
        f" Docker Root Dir: {i.get('DockerRootDir', '')}",
    ]
    mirrors = (i.get("RegistryConfig") or {}).get("Mirrors") or []
    if mirrors:
        lines += [" Registry Mirrors:", *(f"  {m}" for m in mirrors)]
    labels = [str(label) for label in i.get("Labels") or []]
    plain = [label for label in labels if not label.startswith(OWN_LABELS)]
    if plain:
        lines += [" Labels:", *(f"  {label}" for label in plain)]
    told = dict(label.partition("=")[::2] for label in labels if label.startswith(OWN_LABELS))
    if f"{OWN_LABELS}tier" in told:
        lines.append(f" Runtime Tier: {told[f'{OWN_LABELS}tier']}")
    return lines + [str(w) for w in i.get("Warnings") or []]


@command
def events(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker events [OPTIONS]

    Get real time events from the server

    Aliases:
      docker system events, docker events

    Options:
      -f, --filter filter   Filter output based on conditions provided
          --format string   Format output using a custom template:
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
          --since string    Show all events created since timestamp
          --until string    Stream events until this timestamp
    """
    form = options.text("format")
    template = parse_template(form, strict=False) if form and form != "json" else None
    try:
        after = parse_when(options.text("since")) if options.given("since") else None
        before = parse_when(options.text("until")) if options.given("until") else None
    except ValueError as error:
        raise CommandError(str(error)) from None
    stream = session.engine.messages(
        "GET", "/events", filters=parse_filters(options.all("filter")), since=after, until=before
    )
    try:
        with contextlib.closing(stream):
            for event in stream:
                if template is not None:
                    line = template.execute(event)
                else:
                    line = go_json(event) if form == "json" else _event(event)
                session.console.out(f"{line}\n".encode())
    except TemplateError as error:
        raise CommandError(f"failed to execute template: {error}") from None
    except KeyboardInterrupt:
        return None
    return None


def _event(event: dict[str, Any]) -> str:
    nanos = int(event.get("timeNano") or event["time"] * 10**9)
    whole = time.localtime(nanos // 10**9)
    zone = time.strftime("%z", whole)
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', whole)}.{nanos % 10**9:09d}{zone[:3]}:{zone[3:]}"
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{k}={v}" for k, v in sorted((actor.get("Attributes") or {}).items()))
    return f"{moment} {event['Type']} {event['Action']} {actor.get('ID', '')}" + (
        f" ({attributes})" if attributes else ""
    )


@command
def prune(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker system prune [OPTIONS]

    Remove unused data

    Options:
      -a, --all             Remove all unused images not just dangling ones
          --filter filter   Provide filter values (e.g. "label=<key>=<value>")
      -f, --force           Do not prompt for confirmation
          --volumes         Prune anonymous volumes
    """
    every = options.on("all")
    lines = ["WARNING! This will remove:", "  - all stopped containers",
             "  - all networks not used by at least one container"]  # fmt: skip
    if options.on("volumes"):
        lines.append("  - all anonymous volumes not used by at least one container")
    lines.append(
        "  - all images without at least one container associated to them" if every else "  - all dangling images"
    )
    lines.append("  - all build cache" if every else "  - unused build cache")
    if not confirmed(session, options, "\n".join([*lines, ""])):
        return None
    engine, filters = session.engine, parse_filters(options.all("filter"))
    out: list[str] = []
    space = 0

    def deleted(title: str, names: list[str]) -> None:
        if names:
            out.extend([title, *names, ""])

    answer = engine.post("/containers/prune", filters=filters)
    deleted("Deleted Containers:", answer.get("ContainersDeleted") or [])
    space += answer.get("SpaceReclaimed") or 0
    deleted("Deleted Networks:", engine.post("/networks/prune", filters=filters).get("NetworksDeleted") or [])
    if options.on("volumes"):
        answer = engine.post("/volumes/prune", filters=filters)
        deleted("Deleted Volumes:", answer.get("VolumesDeleted") or [])
        space += answer.get("SpaceReclaimed") or 0
    answer = engine.post("/images/prune", filters={**(filters or {}), "dangling": ["false" if every else "true"]})
    deleted("Deleted Images:", deleted_images(answer))
    space += answer.get("SpaceReclaimed") or 0
    with contextlib.suppress(EngineError):  # an old engine has no build cache to prune
        answer = engine.post("/build/prune", all=every or None)
        deleted("Deleted build cache objects:", answer.get("CachesDeleted") or [])
        space += answer.get("SpaceReclaimed") or 0
    return Text("\n".join([*out, f"Total reclaimed space: {units_size(space)}"]))


@command
def flow(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker flow

    Show client, engine, registry, images and containers as they are now

    dockmagic's own: the way from a command to a running container, drawn from the engine's state.
    """
    choice = session.choice
    found = session.engine.get("/info")
    tags = [tag for i in session.engine.get("/images/json") for tag in i.get("RepoTags") or []]
    images = [tag for tag in tags if "<none>" not in tag]
    containers = [
        ((c.get("Names") or ["?"])[0].removeprefix("/"), c["Image"], c["State"])
        for c in session.engine.get("/containers/json", all=True)
    ]
    registry = str(found.get("IndexServerAddress") or "https://index.docker.io/v1/")
    mirrors = (found.get("RegistryConfig") or {}).get("Mirrors") or []
    return Flow(choice.url, str(found.get("ServerVersion", "")), [registry, *mirrors], images, containers)
