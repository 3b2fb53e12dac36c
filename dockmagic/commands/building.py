"""docker build, and what goes with it: the check of a Dockerfile, the build cache, a shell where a build failed."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dockmagic.commands import references
from dockmagic.commands.buildcontext import alone, folder_context
from dockmagic.commands.buildoutput import Output, parse_outputs, told
from dockmagic.commands.buildparts import NO_SESSION, Parts, parts_of
from dockmagic.commands.buildplain import PlainPrinter
from dockmagic.commands.buildsource import Source
from dockmagic.commands.buildstream import Decoder, Outcome, friendly
from dockmagic.commands.checked import ulimit
from dockmagic.commands.checking import show_checks
from dockmagic.commands.credentials import all_auths
from dockmagic.commands.errors import CommandError, Interrupted
from dockmagic.commands.flags import Options
from dockmagic.commands.layers import layer_tree
from dockmagic.commands.lifecycle import confirmed, reclaimed
from dockmagic.commands.listing import parse_filters
from dockmagic.commands.session import FailedBuild, Session
from dockmagic.commands.tree import command, refusing
from dockmagic.views.build import BuildProgress, BuildResult, Step, familiar_image
from dockmagic.views.numbers import seconds
from dockmagic.views.text import Text
from dockmagic.views.view import View


@dataclass
class Plan:
    """A build to ask for. ``context`` is a folder, an archive's or Dockerfile's bytes, or nothing at all."""

    source: Source | None
    context: Path | IO[bytes] | None = None
    inside: str = ""
    """the Dockerfile's path in the folder; "" when it is not a file of it"""
    remote: str = ""
    tags: list[str] = field(default_factory=list)
    target: str = ""
    quiet: bool = False
    progress: str = "auto"
    checked: bool = False
    """whether the checks have been told already"""
    query: dict[str, Any] = field(default_factory=dict)
    """what else goes to the engine as it is"""
    parts: Parts = field(default_factory=Parts)
    outputs: list[Output] = field(default_factory=list)

    @property
    def images(self) -> bool:
        """Whether the build leaves an image in the engine's store."""
        return not self.outputs or any(output.image for output in self.outputs)


_LEGACY = "only docker's legacy builder takes it"


@refusing(
    push="build, then docker push", attest="attestations are not made here",
    **dict.fromkeys(
        ("cgroup_parent", "cpu_period", "cpu_quota", "cpu_shares", "cpuset_cpus", "cpuset_mems", "isolation", "memory",
         "memory_swap", "security_opt", "squash"),
        _LEGACY,
    ),
)  # fmt: skip
def build(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker build [OPTIONS] PATH | URL | -

    Build an image from a Dockerfile

    Aliases:
      docker image build, docker build, docker builder build

    Options:
          --add-host list           Add a custom host-to-IP mapping ("host:ip")
          --build-arg list          Set build-time variables
          --build-context list      Additional build contexts (e.g., name=path)
          --cache-from strings      Images to consider as cache sources
          --cache-to list           Cache export destinations (e.g., "type=local,dest=path/to/dir")
          --check                   Check the Dockerfile and don't build it
          --compress                Compress the build context using gzip; nothing is gained on one machine
          --disable-content-trust   Skip image verification (default true)
      -f, --file string             Name of the Dockerfile (Default is "PATH/Dockerfile")
          --force-rm                Always remove intermediate containers; none are kept here
          --iidfile string          Write the image ID to the file
          --label list              Set metadata for an image
          --load                    Shorthand for "--output=type=docker"
          --metadata-file string    Write build result metadata to a file
          --network string          Set the networking mode for the RUN instructions during build
          --no-cache                Do not use cache when building the image
          --no-cache-filter list    Do not cache specified stages
      -o, --output list             Output destination (format: "type=local,dest=path")
          --platform string         Set platform if server is multi-platform capable
          --progress string         Set type of progress output ("auto", "plain", "tty", "quiet") (default "auto")
          --provenance string       Shorthand for "--attest=type=provenance"; false is all that is had here
          --pull                    Always attempt to pull a newer version of the image
      -q, --quiet                   Suppress the build output and print image ID on success
          --rm                      Remove intermediate containers after a successful build (default true)
          --sbom string             Shorthand for "--attest=type=sbom"; false is all that is had here
          --secret list             Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
          --shm-size bytes          Size of "/dev/shm"
          --ssh list                SSH agent socket or keys to expose to the build
      -t, --tag list                Name and optionally a tag in the "name:tag" format
          --target string           Set the target build stage to build.
          --ulimit ulimit           Ulimit options (default [])
    """
    plan = plan_of(options)
    _refuse_attestations(options)
    plan.outputs = parse_outputs(options.all("output"), load=options.on("load"))
    if options.all("no-cache-filter"):
        plan.parts.attributes["no-cache"] = ",".join(options.all("no-cache-filter"))
    _locate(session, plan, operands[0], options.text("file"))
    if options.on("check"):
        return show_checks(plan.source, plan.context if isinstance(plan.context, Path) else None, plan.target)
    for flag in ("iidfile", "metadata-file"):
        if options.given(flag):  # a build that fails leaves no file of an earlier one's
            Path(options.text(flag)).unlink(missing_ok=True)
    result = run_build(session, plan)
    if options.given("iidfile") and result.image_id:
        Path(options.text("iidfile")).write_text(result.image_id)
    if options.given("metadata-file"):
        Path(options.text("metadata-file")).write_text(json.dumps(_metadata(result), indent=2) + "\n")
    if any(output.dest == "-" for output in plan.outputs):
        return None
    if plan.quiet:
        return Text(result.image_id) if result.image_id else None
    return result


def _refuse_attestations(options: Options) -> None:
    for flag in ("provenance", "sbom"):
        if options.given(flag) and options.text(flag).lower() not in {"false", "0"}:
            raise CommandError(f"ERROR: attestations are not made here: --{flag} can be false only")


def _metadata(result: BuildResult) -> dict[str, Any]:
    """What buildx's docker driver tells of an image that it left in the daemon."""
    if not result.image_id:
        return {}
    told = {"containerimage.config.digest": result.image_id, "containerimage.digest": result.image_id}
    names = ",".join(references.canonical(tag) for tag in result.tags)
    return {**told, **({"image.name": names} if names else {})}


def plan_of(options: Options) -> Plan:
    """The flags that ``docker build`` and ``%%dockerfile`` share. Raises CommandError."""
    mode = options.text("progress") or "auto"
    if mode not in {"auto", "plain", "tty", "quiet"}:
        raise CommandError(f"ERROR: invalid progress mode: {mode}")
    for name in options.all("tag"):
        if references.split(name)[0] != references.split(name)[0].lower():
            raise CommandError(f'ERROR: invalid tag "{name}": repository name must be lowercase')
    arguments = dict(_argument(a) for a in options.all("build-arg"))
    try:
        limits = [ulimit(u) for u in options.all("ulimit")]
    except ValueError as error:
        raise CommandError(f"ERROR: {error}") from None
    query: dict[str, Any] = {
        "buildargs": json.dumps(arguments) if arguments else None,
        "labels": json.dumps(dict(p.partition("=")[::2] for p in options.all("label")))
        if options.all("label")
        else None,
        "nocache": options.on("no-cache") or None,
        "pull": options.on("pull") or None,
        "platform": options.text("platform") or None,
        "networkmode": options.text("network") or None,
        "extrahosts": [h.replace("=", ":", 1) for h in options.all("add-host")] or None,
        "shmsize": options.size("shm-size") or None,
        "ulimits": json.dumps(limits) if limits else None,
        "cachefrom": json.dumps(options.all("cache-from")) if options.all("cache-from") else None,
    }
    quiet = options.on("quiet") or mode == "quiet"
    return Plan(None, tags=options.all("tag"), target=options.text("target"), quiet=quiet, progress=mode, query=query,
                parts=parts_of(options))  # fmt: skip


def _argument(text: str) -> tuple[str, str | None]:
    """``--build-arg``: a name without a value takes the environment's."""
    import os

    name, equals, value = text.partition("=")
    return (name, value) if equals else (name, os.environ.get(name))


def _locate(session: Session, plan: Plan, where: str, file: str) -> None:
    """Find the context and the Dockerfile that a command line names."""
    stdin = session.console.stdin
    if where == "-":
        if file == "-":
            raise CommandError("ERROR: invalid argument: can't use stdin for both build context and dockerfile")
        data = stdin.read() if stdin else b""
        if _is_archive(data):
            plan.context = io.BytesIO(data)
            plan.inside = file or "Dockerfile"
        else:
            plan.source = Source(data.decode("utf-8", "surrogateescape"))
        return
    if re.match(r"(https?|git|ssh)://|git@|github\.com/", where):
        plan.remote, plan.inside = where, file or "Dockerfile"
        return
    folder = Path(where).expanduser()
    if not folder.exists():
        raise CommandError(f'ERROR: unable to prepare context: path "{where}" not found')
    if not folder.is_dir():
        raise CommandError(f"ERROR: unable to prepare context: context must be a directory: {where}")
    plan.context = folder
    if file == "-":
        plan.source = Source((stdin.read() if stdin else b"").decode("utf-8", "surrogateescape"))
        return
    path = Path(file).expanduser() if file else folder / "Dockerfile"
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise CommandError(
            f"ERROR: failed to solve: failed to read dockerfile: open {path.name}: no such file or directory"
        ) from None
    except OSError as error:
        raise CommandError(f"ERROR: failed to read dockerfile: {path}: {(error.strerror or '').lower()}") from None
    plan.source = Source(text, path.name)
    with contextlib.suppress(ValueError):
        plan.inside = path.resolve().relative_to(folder.resolve()).as_posix()


def _is_archive(data: bytes) -> bool:
    return data[257:262] == b"ustar" or data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def run_build(session: Session, plan: Plan) -> BuildResult:
    """Build, shown live; the result with its layer tree. Raises CommandError, or Interrupted."""
    if plan.source is not None:
        plan.source.refuse()
    with told(plan.outputs, session.engine.url, session.console) as outputs:
        plan.parts.outputs = outputs
        return _build(session, plan)


def _build(session: Session, plan: Plan) -> BuildResult:
    data, name = _body(plan)
    kind = "application/x-tar"
    if plan.parts:
        if not session.engine.takes_parts:
            raise CommandError(f"ERROR: {plan.parts.flags()[0]} can't be had on this engine: {NO_SESSION}")
        kind, data = plan.parts.body(data)
    session.failed = None
    modern = session.engine.buildkit
    messages = session.engine.messages(
        "POST", "/build", data=data, headers={"Content-Type": kind, **all_auths()},
        version="2" if modern else "1", dockerfile=name, remote=plan.remote or None, t=plan.tags or None,
        target=plan.target or None, rm=None if modern else True, forcerm=None if modern else True, **plan.query,
    )  # fmt: skip
    progress, decoder = BuildProgress(), Decoder()
    printer = PlainPrinter(session.console) if _is_plain(session, plan) else None
    live = session.console.live() if not plan.quiet and printer is None else None
    try:
        with contextlib.closing(messages):
            for status in decoder.decode(messages):
                progress.add(status)
                if printer:
                    printer.add(status)
                elif live:
                    live.update(progress)
    except KeyboardInterrupt:
        if live:
            live.close(progress)
        raise Interrupted(
            "Interrupted: the build was stopped; the steps that were done are kept in the cache"
        ) from None
    except BaseException:
        if live:
            live.close(progress)
        raise
    if decoder.outcome.error:
        if live:
            live.close(progress)
        if printer:
            printer.failed()
        raise _failure(session, plan, progress, decoder.outcome)
    if plan.images:
        session.last_image = decoder.outcome.image_id
    result = _result(session, plan, progress, decoder.outcome.image_id)
    if live:
        live.close(result)
    return result


def _is_plain(session: Session, plan: Plan) -> bool:
    if plan.quiet:
        return False
    piping = any(output.dest == "-" for output in plan.outputs)  # then the live view's place is taken
    return piping or plan.progress == "plain" or (plan.progress == "auto" and session.console.lines_only)


def _body(plan: Plan) -> tuple[Iterable[bytes] | IO[bytes] | bytes | None, str]:
    """What is sent, and the Dockerfile's name in it. A Dockerfile that reads no context is sent alone."""
    if plan.remote:
        return b"", plan.inside
    if plan.source is None:
        return plan.context if not isinstance(plan.context, Path) else None, plan.inside
    text = plan.source.text.encode("utf-8", "surrogateescape")
    if not isinstance(plan.context, Path) or not plan.source.needs_context():
        return alone(text), "Dockerfile"
    context, name = folder_context(plan.context, text, plan.inside)
    return context.chunks(), name


def _result(session: Session, plan: Plan, progress: BuildProgress, image_id: str) -> BuildResult:
    own = own_steps(plan, progress)
    named = own[0].instruction.split()[1] if own and own[0].is_base else ""
    base = familiar_image(named or (plan.source.base(plan.target) if plan.source else ""))
    timed = [s.vertex.started for s in progress.steps.values() if s.vertex.started]
    ended = [s.vertex.completed for s in progress.steps.values() if s.vertex.completed]
    note = f"built in {seconds(max(ended) - min(timed))}" if timed and ended else ""
    ran = [s for s in progress.instructions if not s.is_base]
    if ran and all(s.state == "cached" for s in ran):
        note = "all CACHED"
    tags = [references.familiar(t) for t in plan.tags]
    try:
        title = ", ".join(tags) or "image"
        tree = layer_tree(session.engine, image_id, title=title, base=base, steps=own, note=note) if image_id else None
    except CommandError:  # an engine that keeps no history still has built
        tree = None
    if plan.checked:
        progress.warnings.clear()
    # An engine tells of another stage's base in some builds and not in others.
    others = [s for s in progress.instructions if s not in own and not s.is_base]
    return BuildResult(image_id, tags, tree, progress, others)


def own_steps(plan: Plan, progress: BuildProgress) -> list[Step]:
    """The steps that the image itself is made of, from its base up."""
    steps = progress.instructions
    labels = plan.source.chain(plan.target) if plan.source else [""]
    if all(not s.stage for s in steps):
        return steps
    return [s for label in labels for s in steps if s.stage.lower() == label]


def _failure(session: Session, plan: Plan, progress: BuildProgress, outcome: Outcome) -> CommandError:
    """The error with the line that failed marked in the source, and where to look further."""
    step = progress.failed
    message = friendly(outcome.error)
    frame = ""
    if plan.source is not None and step is not None and step.instruction:
        found = plan.source.find(step.instruction, step.stage)
        if found is not None:
            frame = plan.source.frame(found.line, found.range.end.line)
            lines = plan.source.text.split("\n")[: found.line - 1]
            folder = str(plan.context) if isinstance(plan.context, Path) else ""
            session.failed = FailedBuild("\n".join(lines) + "\n", folder, found.line, found.code)
    elif plan.source is not None:
        at = re.search(r"line (\d+)", message)
        frame = plan.source.frame(int(at[1])) if at else ""
    return CommandError(f"ERROR: failed to solve: {message}", 1, progress, frame)


@command
def prune(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker builder prune

    Remove build cache

    Options:
      -a, --all                  Remove all unused build cache, not just dangling ones
          --filter filter        Provide filter values (e.g. "until=24h")
      -f, --force                Do not prompt for confirmation
          --keep-storage bytes   Amount of disk space to keep for cache
    """
    what = "all build cache" if options.on("all") else "all dangling build cache"
    if not confirmed(session, options, f"WARNING! This will remove {what}."):
        return None
    query: dict[str, Any] = {"keep-storage": options.size("keep-storage") or None, "all": options.on("all") or None}
    answer = session.engine.post("/build/prune", filters=parse_filters(options.all("filter")), **query)
    return reclaimed(answer, "Deleted build cache objects:", answer.get("CachesDeleted") or [])


@command
def debug(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker debug [OPTIONS] [COMMAND] [ARG...]

    Run a command, or a shell, in the state that the last failed build left

    The last good layer becomes an image, with the environment, folder and user of the step that failed. Without a
    command a shell reads standard input: the body of a %%docker debug cell, or a terminal. This is dockmagic's own.

    Options:
      -u, --user string   Username or UID (format: <name|uid>[:<group|gid>])
    """
    from dockmagic.commands.tree import execute

    failed = session.failed
    if failed is None:
        raise CommandError("no build has failed here since the last one that went well")
    console = session.console
    console.note(f"The step that failed (line {failed.line}): {failed.step}")
    plan = Plan(Source(failed.dockerfile), Path(failed.context) if failed.context else None, quiet=True)
    image = run_build(session, plan).image_id
    session.failed = failed
    flags = ["run", "--rm"]
    if options.given("user"):
        flags += ["--user", options.text("user")]
    if not operands:
        flags += ["-i", *(["-t"] if console.terminal or console.stdin is None else [])]
    return execute(session, [*flags, "--entrypoint", operands[0] if operands else "/bin/sh", image, *operands[1:]])
