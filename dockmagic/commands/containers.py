"""Looking at containers: ps, logs, port, top, stats, diff."""

from __future__ import annotations

import time
from typing import Any

from dockmagic.commands.errors import CommandError, EngineError, Interrupted
from dockmagic.commands.flags import Options
from dockmagic.commands.hijack import Chunked, demultiplex
from dockmagic.commands.images import diff_images
from dockmagic.commands.listing import Listing, Row, parse_filters
from dockmagic.commands.session import Session
from dockmagic.commands.statistics import STATS, percents, samples
from dockmagic.commands.streams import Output, consume
from dockmagic.commands.tree import command
from dockmagic.commands.values import local_time, parse_when, short_id, shorten, since, size3
from dockmagic.views.changes import Changes
from dockmagic.views.run import RunResult
from dockmagic.views.table import Table
from dockmagic.views.text import Text
from dockmagic.views.usage import Usage
from dockmagic.views.view import View

PS = Listing(
    "*formatter.ContainerContext",
    {
        "ID": "CONTAINER ID", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
        "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE",
        "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS",
        "Platform": "PLATFORM",
    },
    ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"),
)  # fmt: skip


@command
def ps(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker ps [OPTIONS]

    List containers

    Aliases:
      docker container ls, docker container list, docker container ps, docker ps

    Options:
      -a, --all             Show all containers (default shows just running)
      -f, --filter filter   Filter output based on conditions provided
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
      -n, --last int        Show n last created containers (includes all states) (default -1)
      -l, --latest          Show the latest created container (includes all states)
          --no-trunc        Don't truncate output
      -q, --quiet           Only display container IDs
      -s, --size            Display total file sizes
    """
    limit = 1 if options.on("latest") else options.number("last", -1)
    form = options.text("format")
    sized = options.on("size") or ".Size" in form
    found = session.engine.get(
        "/containers/json", all=options.on("all"), limit=limit if limit > 0 else None, size=sized or None,
        filters=parse_filters(options.all("filter")),
    )  # fmt: skip
    now, trunc = time.time(), not options.on("no-trunc")
    rows = [container_row(c, now, trunc) for c in found]
    columns = [*PS.columns, "Size"] if options.on("size") else None
    if form and options.on("quiet"):
        session.console.note("WARNING: Ignoring custom format, because both --format and --quiet are set.")
        form = ""
    return PS.show(rows, form, quiet=options.on("quiet"), columns=columns)


def container_row(c: dict[str, Any], now: float, trunc: bool) -> Row:
    """The fields of a container as docker ps has them; ``trunc`` shortens ids and commands."""
    labels = c.get("Labels") or {}
    names = [n.removeprefix("/") for n in c.get("Names") or []]
    own = [n for n in names if "/" not in n] if trunc else names
    mounts = [m.get("Name") or m.get("Source", "") for m in c.get("Mounts") or []]
    image = c.get("Image") or "<no image>"
    if trunc and image == c.get("ImageID"):
        image = short_id(image)
    virtual = f" (virtual {size3(c['SizeRootFs'])})" if c.get("SizeRootFs") else ""
    return {
        "ID": c["Id"][:12] if trunc else c["Id"],
        "Names": ",".join(own),
        "Image": image,
        "Command": f'"{shorten(c.get("Command", ""), 20) if trunc else c.get("Command", "")}"',
        "CreatedAt": local_time(c["Created"]),
        "RunningFor": since(c["Created"], now),
        "Ports": display_ports(c.get("Ports") or []),
        "State": c.get("State", ""),
        "Status": c.get("Status", ""),
        "Size": f"{size3(c.get('SizeRw') or 0)}{virtual}",
        "Labels": ",".join(f"{k}={v}" for k, v in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "Mounts": ",".join(shorten(m, 15) if trunc else m for m in mounts),
        "LocalVolumes": str(sum(1 for m in c.get("Mounts") or [] if m.get("Driver") == "local")),
        "Networks": ",".join((c.get("NetworkSettings") or {}).get("Networks") or {}),
        "Platform": None,
    }


def display_ports(ports: list[dict[str, Any]]) -> str:
    """``0.0.0.0:8080->80/tcp``, neighbours as a range (docker CLI, formatter.DisplayablePorts)."""
    groups: list[list[Any]] = []
    for p in sorted(ports, key=lambda p: (p["PrivatePort"], p["Type"], p.get("IP", ""), p.get("PublicPort", 0))):
        address, public = p.get("IP") or "", int(p.get("PublicPort") or 0)
        if ":" in address:
            address = f"[{address}]"
        for group in groups:
            same = group[0] == (address, p["Type"], bool(public))
            if same and group[2] + 1 == p["PrivatePort"] and (not public or group[4] + 1 == public):
                group[2], group[4] = p["PrivatePort"], public
                break
        else:
            groups.append([(address, p["Type"], bool(public)), p["PrivatePort"], p["PrivatePort"], public, public])
    lines = []
    for (address, protocol, published), low, high, first, last in groups:
        private = f"{low}" if low == high else f"{low}-{high}"
        if published:
            shown = f"{first}" if first == last else f"{first}-{last}"
            lines.append(f"{address}:{shown}->{private}/{protocol}")
        else:
            lines.append(f"{private}/{protocol}")
    return ", ".join(lines)


@command
def logs(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker logs [OPTIONS] CONTAINER

    Fetch the logs of a container

    Aliases:
      docker container logs, docker logs

    Options:
          --details        Show extra details provided to logs
      -f, --follow         Follow log output
          --since string   Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g.
                           "42m" for 42 minutes)
      -n, --tail string    Number of lines to show from the end of the logs (default "all")
      -t, --timestamps     Show timestamps
          --until string   Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g.
                           "42m" for 42 minutes)
    """
    name, engine = operands[0], session.engine
    after, before = _moment(options, "since"), _moment(options, "until")
    state = engine.get(f"/containers/{name}/json")
    chunks = engine.download(
        f"/containers/{name}/logs", stdout=True, stderr=True, follow=options.on("follow"), since=after, until=before,
        timestamps=options.on("timestamps"), details=options.on("details") or None, tail=options.text("tail"),
    )  # fmt: skip
    output = Output(session.console)
    try:
        frames = ((1, c) for c in chunks) if state["Config"]["Tty"] else demultiplex(Chunked(chunks))
        consume(frames, output)
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted: no longer following {name}, which runs on") from None
    return RunResult(output.stdout, output.stderr, 0, name)


def _moment(options: Options, flag: str) -> str | None:
    try:
        return parse_when(options.text(flag)) if options.given(flag) else None
    except ValueError as error:
        raise CommandError(f'invalid value for "{flag}": {error}') from None


@command
def port(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker port CONTAINER [PRIVATE_PORT[/PROTO]]

    List port mappings or a specific mapping for the container

    Aliases:
      docker container port, docker port
    """
    name, *wanted = operands
    ports = session.engine.get(f"/containers/{name}/json")["NetworkSettings"].get("Ports") or {}

    def address(binding: dict[str, str]) -> str:
        host = binding["HostIp"]
        return f"[{host}]:{binding['HostPort']}" if ":" in host else f"{host}:{binding['HostPort']}"

    if wanted:
        key = wanted[0] if "/" in wanted[0] else f"{wanted[0]}/tcp"
        if not ports.get(key):
            raise CommandError(f"Error: No public port '{wanted[0]}' published for {name}")
        return Text("\n".join(address(b) for b in ports[key]))
    lines = [f"{p} -> {address(b)}" for p, bindings in ports.items() for b in bindings or []]
    return Text("\n".join(sorted(lines)))


@command
def top(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker top CONTAINER [ps OPTIONS]

    Display the running processes of a container

    Aliases:
      docker container top, docker top
    """
    name, *arguments = operands
    answer = session.engine.get(f"/containers/{name}/top", ps_args=" ".join(arguments) or None)
    titles = answer["Titles"]
    rows = [dict(zip(titles, process, strict=False)) for process in answer["Processes"] or []]
    return _Top([(t, t) for t in titles], rows)


class _Top(Table):
    """docker sets this one with a wider tabwriter."""

    def text(self) -> str:
        from dockmagic.views.table import columns_text

        heading = [title for _, title in self.columns]
        cells = [[str(r.get(k, "")) for k, _ in self.columns] for r in self.rows]
        return columns_text([heading, *cells], least=20)


@command
def stats(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker stats [OPTIONS] [CONTAINER...]

    Display a live stream of container(s) resource usage statistics

    Aliases:
      docker container stats, docker stats

    Options:
      -a, --all             Show all containers (default shows just running)
          --format string   Format output using a custom template:
                            'table':            Print output in table format with column headers
                            (default)
                            'table TEMPLATE':   Print output in table format using the given Go template
                            'json':             Print in JSON format
                            'TEMPLATE':         Print output using the given Go template.
                            Refer to https://docs.docker.com/go/formatting/ for more information about
                            formatting output with templates
          --no-stream       Disable streaming stats and only pull the first result
          --no-trunc        Do not truncate output
    """
    engine, trunc = session.engine, not options.on("no-trunc")
    form = options.text("format")
    history: dict[str, list[tuple[float, float]]] = {}

    def table() -> Table:
        names = operands or [c["Id"] for c in engine.get("/containers/json", all=options.on("all"))]
        rows = samples(engine, names, trunc, gone_is_error=bool(operands))
        shown = STATS.show(rows, form)
        if form not in {"", "table"}:
            return shown
        for row in rows:
            history.setdefault(str(row["ID"]), []).append(percents(row))
        return Usage(shown.columns, shown.rows, history)

    shown = table()
    if options.on("no-stream") or not session.console.watched:
        return shown
    live = session.console.live()
    try:
        while True:
            live.update(shown)
            time.sleep(0.5)
            shown = table()
    except (KeyboardInterrupt, EngineError):
        live.close(shown)
    return None


@command
def diff(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker diff CONTAINER [IMAGE]

    Inspect changes to files or directories on a container's filesystem

    Of two images, or of a container and an image, dockmagic shows what differs in their files and their config.

    Aliases:
      docker container diff, docker diff
    """
    if len(operands) == 2:
        return diff_images(session, *operands)
    found = session.engine.get(f"/containers/{operands[0]}/changes")
    return Changes([(int(c["Kind"]), str(c["Path"])) for c in found or []])
