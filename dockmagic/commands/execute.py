"""Processes in containers that are there already: exec, attach, start."""

from __future__ import annotations

import contextlib
from contextlib import nullcontext

from dockmagic.commands import checked
from dockmagic.commands.containerspec import environment
from dockmagic.commands.errors import CommandError, EngineError, ExitError, Interrupted
from dockmagic.commands.flags import Options
from dockmagic.commands.handle import ContainerHandle
from dockmagic.commands.run import (
    SCRIPT,
    check_terminal,
    exit_status,
    put_script,
    read_script,
    resize,
    script_words,
    send_signal,
)
from dockmagic.commands.session import Session
from dockmagic.commands.streams import Detached, Output, pump
from dockmagic.commands.tree import command
from dockmagic.views.run import RunResult
from dockmagic.views.view import View

LEFT = "read escape sequence"
"""docker's word for a terminal that was left by its keys"""


@command
def execute(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker exec [OPTIONS] CONTAINER COMMAND [ARG...]

    Execute a command in a running container

    Aliases:
      docker container exec, docker exec

    Options:
      -d, --detach               Detached mode: run command in the background
          --detach-keys string   Override the key sequence for detaching a container
      -e, --env list             Set environment variables
          --env-file list        Read in a file of environment variables
      -i, --interactive          Keep STDIN open even if not attached
          --privileged           Give extended privileges to the command
          --script string        Run standard input as a script of this interpreter, the
                                 operands as its arguments (dockmagic's own)
      -t, --tty                  Allocate a pseudo-TTY
      -u, --user string          Username or UID (format: "<name|uid>[:<group|gid>]")
      -w, --workdir string       Working directory inside the container
    """
    container, *words = operands
    interactive, tty, detached = options.on("interactive"), options.on("tty"), options.on("detach")
    if interactive and tty and not detached:
        check_terminal(session)
    try:
        env = environment(options.all("env-file"), options.each("env", checked.env))
    except ValueError as error:
        raise CommandError(str(error)) from None
    engine = session.engine
    body = {
        "Cmd": words,
        "Env": env,
        "User": options.text("user"),
        "WorkingDir": options.text("workdir"),
        "Privileged": options.on("privileged"),
        "Tty": tty,
        "AttachStdin": interactive and not detached,
        "AttachStdout": not detached,
        "AttachStderr": not detached,
    }
    if options.given("script"):
        put_script(session, container, read_script(session, body))
        body["Cmd"] = [*script_words(options.text("script")), SCRIPT, *words]
        interactive = False
    if options.given("detach-keys"):
        body["DetachKeys"] = options.text("detach-keys")
    made = engine.post(f"/containers/{container}/exec", body)["Id"]
    if detached:
        engine.post(f"/exec/{made}/start", {"Detach": True, "Tty": tty})
        return None
    output = Output(session.console)
    try:
        connection = engine.hijack(f"/exec/{made}/start", {"Detach": False, "Tty": tty})
    except EngineError as error:
        raise _not_started(error) from None
    with contextlib.closing(connection):
        try:
            pump(
                session.console, connection, output, tty=tty, stdin=interactive, keys=options.text("detach-keys"),
                resize=lambda rows, columns: resize(session, f"/exec/{made}", rows, columns),
            )  # fmt: skip
        except Detached:
            raise CommandError(LEFT) from None
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted: what ran in {container} lost its connection; the container runs on",
                RunResult(output.stdout, output.stderr, 130, container),
            ) from None
    code = int(engine.get(f"/exec/{made}/json")["ExitCode"])
    result = RunResult(output.stdout, output.stderr, code, container)
    if code:
        raise ExitError(code, f"docker exec {container}", result)
    return result


def _not_started(error: EngineError) -> CommandError:
    if "executable file not found" in error.reason or "no such file" in error.reason:
        return CommandError(str(error), 127)
    return CommandError(str(error), 126)


@command
def attach(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker attach [OPTIONS] CONTAINER

    Attach local standard input, output, and error streams to a running container

    Aliases:
      docker container attach, docker attach

    Options:
          --detach-keys string   Override the key sequence for detaching a container
          --no-stdin             Do not attach STDIN
          --sig-proxy            Proxy all received signals to the process (default true)
    """
    name = operands[0]
    state = session.engine.get(f"/containers/{name}/json")
    if not state["State"]["Running"]:
        raise CommandError("You cannot attach to a stopped container, start it first")
    if state["State"]["Paused"]:
        raise CommandError("You cannot attach to a paused container, unpause it first")
    stdin = not options.on("no-stdin") and bool(state["Config"]["OpenStdin"])
    return _follow(session, options, name, state, stdin=stdin, proxied=options.on("sig-proxy"))


def _follow(
    session: Session, options: Options, name: str, state: dict[str, object], *, stdin: bool, start: bool = False,
    proxied: bool = True,
) -> View:  # fmt: skip
    """Attach to a container (and start it), show it until it ends. ``proxied``: a terminal's signals are for it."""
    engine = session.engine
    tty = bool(state["Config"]["Tty"])  # type: ignore[index]
    output = Output(session.console)
    keys = options.text("detach-keys")
    connection = engine.hijack(
        f"/containers/{name}/attach", stream=True, stdin=stdin, stdout=True, stderr=True, detachKeys=keys or None
    )
    waiting = engine.request(
        "POST", f"/containers/{name}/wait", streamed=True, condition="next-exit" if start else None
    )
    with contextlib.closing(waiting), contextlib.closing(connection):
        if start:
            engine.post(f"/containers/{name}/start")
        try:
            with session.console.signals(lambda s: send_signal(session, name, s)) if proxied else nullcontext():
                pump(
                    session.console, connection, output, tty=tty, stdin=stdin, keys=keys,
                    resize=lambda rows, columns: resize(session, f"/containers/{name}", rows, columns),
                )  # fmt: skip
        except Detached:
            raise CommandError(LEFT) from None
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted: detached from {name}, which runs on") from None
        code = exit_status(waiting)
    result = RunResult(output.stdout, output.stderr, code, name)
    if code:
        raise ExitError(code, f"container {name}", result)
    return result


@command
def start(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker start [OPTIONS] CONTAINER [CONTAINER...]

    Start one or more stopped containers

    Aliases:
      docker container start, docker start

    Options:
      -a, --attach               Attach STDOUT/STDERR and forward signals
          --detach-keys string   Override the key sequence for detaching a container
      -i, --interactive          Attach container's STDIN
    """
    if options.on("attach") or options.on("interactive"):
        if len(operands) > 1:
            raise CommandError("you cannot start and attach multiple containers at once")
        state = session.engine.get(f"/containers/{operands[0]}/json")
        return _follow(
            session, options, operands[0], state, start=True,
            stdin=options.on("interactive") and state["Config"]["OpenStdin"],
        )  # fmt: skip
    failed = []
    for name in operands:
        try:
            session.engine.post(f"/containers/{name}/start")
        except EngineError as error:
            session.console.err(f"{error}\n".encode())
            failed.append(name)
        else:
            if len(operands) > 1:
                session.console.out(f"{name}\n".encode())
    if failed:
        raise CommandError(f"Error: failed to start containers: {', '.join(failed)}")
    if len(operands) > 1:
        return None
    handle = ContainerHandle(session.engine, str(session.engine.get(f"/containers/{operands[0]}/json")["Id"]))
    handle.content = operands[0]
    return handle
