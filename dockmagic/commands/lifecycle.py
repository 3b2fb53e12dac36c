"""What happens to containers: stop, restart, kill, rm, pause, unpause, wait, rename, update, prune."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dockmagic.commands.containerspec import update_body
from dockmagic.commands.errors import CommandError, EngineError
from dockmagic.commands.flags import Options
from dockmagic.commands.listing import parse_filters
from dockmagic.commands.session import Session
from dockmagic.commands.tree import command
from dockmagic.commands.values import units_size
from dockmagic.views.text import Text
from dockmagic.views.view import View


def each(session: Session, names: Sequence[str], act: Callable[[str], str | None]) -> View | None:
    """Do ``act`` for every name, as docker does: print what went well, and fail at the end with what did not.

    What ``act`` gives is printed instead of the name; "" prints nothing.
    """
    done: list[str] = []
    errors: list[str] = []
    for name in names:
        try:
            told = act(name)
            done.append(name if told is None else told)
        except EngineError as error:
            errors.append(str(error))
    if errors:
        for line in filter(None, done):
            session.console.out(f"{line}\n".encode())
        raise CommandError("\n".join(errors))
    return Text("\n".join(filter(None, done)))


def confirmed(session: Session, options: Options, warning: str) -> bool:
    """Whether to go on: --force, or a yes; without somebody to ask a prune needs --force."""
    if options.on("force"):
        return True
    if not session.console.confirms:
        raise CommandError(f"{warning}\nNobody can be asked here: use --force (-f)")
    session.console.note(warning)
    return session.console.ask("Are you sure you want to continue? [y/N] ").strip().lower() in {"y", "yes"}


def reclaimed(answer: dict[str, object], title: str, deleted: list[str]) -> Text:
    """What every prune prints."""
    lines = [title, *deleted, ""] if deleted else []
    space = answer.get("SpaceReclaimed") or 0
    return Text("\n".join([*lines, f"Total reclaimed space: {units_size(float(str(space)))}"]))


@command
def stop(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker stop [OPTIONS] CONTAINER [CONTAINER...]

    Stop one or more running containers

    Aliases:
      docker container stop, docker stop

    Options:
      -s, --signal string   Signal to send to the container
      -t, --timeout int     Seconds to wait before killing the container
    """
    query = _stopping(options)
    return each(session, operands, lambda c: session.engine.post(f"/containers/{c}/stop", **query))


@command
def restart(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker restart [OPTIONS] CONTAINER [CONTAINER...]

    Restart one or more containers

    Aliases:
      docker container restart, docker restart

    Options:
      -s, --signal string   Signal to send to the container
      -t, --timeout int     Seconds to wait before killing the container
    """
    query = _stopping(options)
    return each(session, operands, lambda c: session.engine.post(f"/containers/{c}/restart", **query))


def _stopping(options: Options) -> dict[str, object]:
    return {
        "t": options.number("timeout") if options.given("timeout") else None,
        "signal": options.text("signal") or None,
    }


@command
def kill(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker kill [OPTIONS] CONTAINER [CONTAINER...]

    Kill one or more running containers

    Aliases:
      docker container kill, docker kill

    Options:
      -s, --signal string   Signal to send to the container
    """
    signal = options.text("signal") or None
    return each(session, operands, lambda c: session.engine.post(f"/containers/{c}/kill", signal=signal))


@command
def rm(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker rm [OPTIONS] CONTAINER [CONTAINER...]

    Remove one or more containers

    Aliases:
      docker container rm, docker container remove, docker rm

    Options:
      -f, --force     Force the removal of a running container (uses SIGKILL)
      -l, --link      Remove the specified link
      -v, --volumes   Remove anonymous volumes associated with the container
    """
    force = options.on("force")

    def remove(name: str) -> str | None:
        try:
            session.engine.delete(
                f"/containers/{name}", force=force, v=options.on("volumes"), link=options.on("link") or None
            )
        except EngineError as error:
            if force and error.status == 404:
                session.console.err(f"{error}\n".encode())
                return ""
            raise
        return name

    return each(session, operands, remove)


@command
def pause(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker pause CONTAINER [CONTAINER...]

    Pause all processes within one or more containers

    Aliases:
      docker container pause, docker pause
    """
    return each(session, operands, lambda c: session.engine.post(f"/containers/{c}/pause"))


@command
def unpause(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker unpause CONTAINER [CONTAINER...]

    Unpause all processes within one or more containers

    Aliases:
      docker container unpause, docker unpause
    """
    return each(session, operands, lambda c: session.engine.post(f"/containers/{c}/unpause"))


@command
def wait(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker wait CONTAINER [CONTAINER...]

    Block until one or more containers stop, then print their exit codes

    Aliases:
      docker container wait, docker wait
    """
    return each(session, operands, lambda c: str(session.engine.post(f"/containers/{c}/wait")["StatusCode"]))


@command
def rename(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker rename CONTAINER NEW_NAME

    Rename a container

    Aliases:
      docker container rename, docker rename
    """
    old, new = (name.strip() for name in operands)
    if not old or not new:
        raise CommandError("Error: Neither old nor new names may be empty")
    try:
        session.engine.post(f"/containers/{old}/rename", name=new)
    except EngineError as error:
        raise CommandError(f"{error}\nError: failed to rename container named {old}") from None
    return None


@command
def update(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker update [OPTIONS] CONTAINER [CONTAINER...]

    Update configuration of one or more containers

    Aliases:
      docker container update, docker update

    Options:
          --blkio-weight uint16        Block IO (relative weight), between 10 and 1000, or 0 to disable
                                       (default 0)
          --cpu-period int             Limit CPU CFS (Completely Fair Scheduler) period
          --cpu-quota int              Limit CPU CFS (Completely Fair Scheduler) quota
          --cpu-rt-period int          Limit the CPU real-time period in microseconds
          --cpu-rt-runtime int         Limit the CPU real-time runtime in microseconds
      -c, --cpu-shares int             CPU shares (relative weight)
          --cpus decimal               Number of CPUs
          --cpuset-cpus string         CPUs in which to allow execution (0-3, 0,1)
          --cpuset-mems string         MEMs in which to allow execution (0-3, 0,1)
      -m, --memory bytes               Memory limit
          --memory-reservation bytes   Memory soft limit
          --memory-swap bytes          Swap limit equal to memory plus swap: -1 to enable unlimited swap
          --pids-limit int             Tune container pids limit (set -1 for unlimited)
          --restart string             Restart policy to apply when a container exits
    """
    try:
        body = update_body(options)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not body:
        raise CommandError("you must provide one or more flags when using this command")

    def change(name: str) -> None:
        for warning in (session.engine.post(f"/containers/{name}/update", body) or {}).get("Warnings") or []:
            session.console.note(warning)

    return each(session, operands, change)


@command
def prune(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker container prune [OPTIONS]

    Remove all stopped containers

    Options:
          --filter filter   Provide filter values (e.g. "until=<timestamp>")
      -f, --force           Do not prompt for confirmation
    """
    if not confirmed(session, options, "WARNING! This will remove all stopped containers."):
        return None
    answer = session.engine.post("/containers/prune", filters=parse_filters(options.all("filter")))
    return reclaimed(answer, "Deleted Containers:", answer.get("ContainersDeleted") or [])
