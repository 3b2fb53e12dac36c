"""docker run and docker create."""

from __future__ import annotations

import contextlib
import io
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.commands.containerspec import create_body
from dockmagic.commands.errors import CommandError, EngineError, ExitError, Interrupted
from dockmagic.commands.flags import Options
from dockmagic.commands.handle import ContainerHandle
from dockmagic.commands.references import familiar
from dockmagic.commands.session import Session
from dockmagic.commands.streams import Detached, Output, pump
from dockmagic.commands.transfer import pull_image
from dockmagic.commands.tree import DockerCommand, command
from dockmagic.errors import DockmagicError
from dockmagic.platforms import Platform
from dockmagic.views.run import RunResult
from dockmagic.views.view import View

if TYPE_CHECKING:
    import requests


@command
def run(session: Session, options: Options, operands: list[str]) -> View | None:
    """Usage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]

    Create and run a new container from an image

    Aliases:
      docker container run, docker run

    Options:
          --add-host list                  Add a custom host-to-IP mapping (host:ip)
      -a, --attach list                    Attach to STDIN, STDOUT or STDERR
          --blkio-weight uint16            Block IO (relative weight), between 10 and 1000, or 0 to
                                           disable (default 0)
          --blkio-weight-device list       Block IO weight (relative device weight) (default [])
          --cap-add list                   Add Linux capabilities
          --cap-drop list                  Drop Linux capabilities
          --cgroup-parent string           Optional parent cgroup for the container
          --cgroupns string                Cgroup namespace to use (host|private)
                                           'host':    Run the container in the Docker host's cgroup
                                           namespace
                                           'private': Run the container in its own private cgroup
                                           namespace
                                           '':        Use the cgroup namespace as configured by the
                                                      default-cgroupns-mode option on the daemon (default)
          --cidfile string                 Write the container ID to the file
          --cpu-period int                 Limit CPU CFS (Completely Fair Scheduler) period
          --cpu-quota int                  Limit CPU CFS (Completely Fair Scheduler) quota
          --cpu-rt-period int              Limit CPU real-time period in microseconds
          --cpu-rt-runtime int             Limit CPU real-time runtime in microseconds
      -c, --cpu-shares int                 CPU shares (relative weight)
          --cpus decimal                   Number of CPUs
          --cpuset-cpus string             CPUs in which to allow execution (0-3, 0,1)
          --cpuset-mems string             MEMs in which to allow execution (0-3, 0,1)
      -d, --detach                         Run container in background and print container ID
          --detach-keys string             Override the key sequence for detaching a container
          --device list                    Add a host device to the container
          --device-cgroup-rule list        Add a rule to the cgroup allowed devices list
          --device-read-bps list           Limit read rate (bytes per second) from a device (default [])
          --device-read-iops list          Limit read rate (IO per second) from a device (default [])
          --device-write-bps list          Limit write rate (bytes per second) to a device (default [])
          --device-write-iops list         Limit write rate (IO per second) to a device (default [])
          --disable-content-trust          Skip image verification (default true)
          --dns list                       Set custom DNS servers
          --dns-option list                Set DNS options
          --dns-search list                Set custom DNS search domains
          --domainname string              Container NIS domain name
          --entrypoint string              Overwrite the default ENTRYPOINT of the image
      -e, --env list                       Set environment variables
          --env-file list                  Read in a file of environment variables
          --expose list                    Expose a port or a range of ports
          --gpus gpu-request               GPU devices to add to the container ('all' to pass all GPUs)
          --group-add list                 Add additional groups to join
          --health-cmd string              Command to run to check health
          --health-interval duration       Time between running the check (ms|s|m|h) (default 0s)
          --health-retries int             Consecutive failures needed to report unhealthy
          --health-start-period duration   Start period for the container to initialize before starting
                                           health-retries countdown (ms|s|m|h) (default 0s)
          --health-timeout duration        Maximum time to allow one check to run (ms|s|m|h) (default 0s)
      -h, --hostname string                Container host name
          --init                           Run an init inside the container that forwards signals and
                                           reaps processes
      -i, --interactive                    Keep STDIN open even if not attached
          --ip string                      IPv4 address (e.g., 172.30.100.104)
          --ip6 string                     IPv6 address (e.g., 2001:db8::33)
          --ipc string                     IPC mode to use
          --isolation string               Container isolation technology
          --kernel-memory bytes            Kernel memory limit
      -l, --label list                     Set meta data on a container
          --label-file list                Read in a line delimited file of labels
          --link list                      Add link to another container
          --link-local-ip list             Container IPv4/IPv6 link-local addresses
          --log-driver string              Logging driver for the container
          --log-opt list                   Log driver options
          --mac-address string             Container MAC address (e.g., 92:d0:c6:0a:29:33)
      -m, --memory bytes                   Memory limit
          --memory-reservation bytes       Memory soft limit
          --memory-swap bytes              Swap limit equal to memory plus swap: '-1' to enable unlimited swap
          --memory-swappiness int          Tune container memory swappiness (0 to 100) (default -1)
          --mount mount                    Attach a filesystem mount to the container
          --name string                    Assign a name to the container
          --network network                Connect a container to a network
          --network-alias list             Add network-scoped alias for the container
          --no-healthcheck                 Disable any container-specified HEALTHCHECK
          --oom-kill-disable               Disable OOM Killer
          --oom-score-adj int              Tune host's OOM preferences (-1000 to 1000)
          --pid string                     PID namespace to use
          --pids-limit int                 Tune container pids limit (set -1 for unlimited)
          --platform string                Set platform if server is multi-platform capable
          --privileged                     Give extended privileges to this container
      -p, --publish list                   Publish a container's port(s) to the host
      -P, --publish-all                    Publish all exposed ports to random ports
          --pull string                    Pull image before running ("always", "missing", "never")
                                           (default "missing")
      -q, --quiet                          Suppress the pull output
          --read-only                      Mount the container's root filesystem as read only
          --restart string                 Restart policy to apply when a container exits (default "no")
          --rm                             Automatically remove the container and its associated
                                           anonymous volumes when it exits
          --runtime string                 Runtime to use for this container
          --script string                  Run standard input as a script of this interpreter, the
                                           operands as its arguments (dockmagic's own)
          --security-opt list              Security Options
          --shm-size bytes                 Size of /dev/shm
          --sig-proxy                      Proxy received signals to the process (default true)
          --stop-signal string             Signal to stop the container
          --stop-timeout int               Timeout (in seconds) to stop a container
          --storage-opt list               Storage driver options for the container
          --sysctl map                     Sysctl options (default map[])
          --tmpfs list                     Mount a tmpfs directory
      -t, --tty                            Allocate a pseudo-TTY
          --ulimit ulimit                  Ulimit options (default [])
      -u, --user string                    Username or UID (format: <name|uid>[:<group|gid>])
          --userns string                  User namespace to use
          --uts string                     UTS namespace to use
      -v, --volume list                    Bind mount a volume
          --volume-driver string           Optional volume driver for the container
          --volumes-from list              Mount volumes from the specified container(s)
      -w, --workdir string                 Working directory inside the container
    """
    image, *words = operands
    image = session.image(image)
    body = create_body(run.usage, options, image, words)
    detached = options.on("detach")
    if detached and options.all("attach"):
        raise CommandError(_hint("conflicting options: cannot specify both --attach and --detach"), 125)
    if detached:
        body |= {"AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "StdinOnce": False}
    elif body["OpenStdin"] and body["Tty"]:
        check_terminal(session)
    with _docker_run_errors():
        script = read_script(session, body) if options.given("script") else b""
        if script:
            interpreter = script_words(options.text("script"))
            body |= {"Entrypoint": interpreter[:1], "Cmd": [*interpreter[1:], SCRIPT, *words]}
        container = create_container(session, options, body)
        if script:
            put_script(session, container, script)
        if options.given("cidfile"):
            _write_cidfile(options.text("cidfile"), container)
        if detached:
            session.engine.post(f"/containers/{container}/start")
            return ContainerHandle(session.engine, container)
        return _attached(session, options, container, body)


def _attached(session: Session, options: Options, container: str, body: dict[str, Any]) -> View:
    """Attach before the start, so that nothing is missed, and wait before it too, so that the exit code isn't."""
    engine, tty = session.engine, bool(body["Tty"])
    output = Output(session.console)

    def passed(name: str) -> None:
        send_signal(session, container, name)

    connection = engine.hijack(
        f"/containers/{container}/attach", stream=True,
        stdin=body["AttachStdin"], stdout=body["AttachStdout"], stderr=body["AttachStderr"],
        detachKeys=options.text("detach-keys") or None,
    )  # fmt: skip
    waiting = engine.request(
        "POST", f"/containers/{container}/wait", streamed=True,
        condition="removed" if options.on("rm") else "next-exit",
    )  # fmt: skip
    with contextlib.closing(waiting), contextlib.closing(connection):
        try:
            engine.post(f"/containers/{container}/start")
            with session.console.signals(passed) if options.on("sig-proxy") else contextlib.nullcontext():
                pump(
                    session.console, connection, output, tty=tty, stdin=body["AttachStdin"],
                    keys=options.text("detach-keys"),
                    resize=lambda rows, columns: resize(session, f"/containers/{container}", rows, columns),
                )  # fmt: skip
            code = exit_status(waiting)
        except Detached:
            return RunResult(output.stdout, output.stderr, 0, container)
        except KeyboardInterrupt:
            raise stop_interrupted(session, container, kept=not options.on("rm"), output=output) from None
    result = RunResult(output.stdout, output.stderr, code, container)
    if code:
        raise ExitError(code, f"docker run {body['Image']}", result)
    return result


def exit_status(waiting: requests.Response) -> int:
    """The answer of a wait, which comes when the container has ended. Raises CommandError when it never came."""
    import requests

    try:
        return int(waiting.json()["StatusCode"])
    except (requests.exceptions.RequestException, ValueError, KeyError) as error:
        raise CommandError("error waiting for container: the engine has gone: unexpected EOF", 125) from error


def create_container(session: Session, options: Options, body: dict[str, Any]) -> str:
    """Create it, pulling the image when it is not there and may be; the id. The engine's warnings are shown."""
    policy, image = options.text("pull"), str(body["Image"])
    if policy not in {"always", "missing", "never"}:
        raise CommandError(
            _hint(f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"'), 125
        )
    platform, quiet = options.text("platform"), options.on("quiet")
    if platform:
        try:
            Platform.parse(platform)
        except DockmagicError as error:
            raise CommandError(_hint(f"error parsing specified platform: {error}"), 125) from None
    if policy == "always":
        pull_image(session, image, platform=platform, quiet=quiet, notes=True)

    def create() -> dict[str, Any]:
        answer: dict[str, Any] = session.engine.post(
            "/containers/create", body, name=options.text("name") or None, platform=platform or None
        )
        return answer

    try:
        made = create()
    except EngineError as error:
        if error.status != 404 or "image" not in error.reason.lower() or policy == "never":
            raise
        if not quiet:
            session.console.note(f"Unable to find image '{familiar(image)}' locally")
        pull_image(session, image, platform=platform, quiet=quiet, notes=True)
        made = create()
    for warning in made.get("Warnings") or []:
        session.console.note(f"WARNING: {warning}")
    return str(made["Id"])


def create(session: Session, options: Options, operands: list[str]) -> View | None:
    image, *words = operands
    body = create_body(create_command.usage, options, session.image(image), words)
    with _docker_run_errors(prefix=""):
        container = create_container(session, options, body)
    if options.given("cidfile"):
        _write_cidfile(options.text("cidfile"), container)
    return ContainerHandle(session.engine, container)


def _create_help() -> str:
    """docker create has docker run's flags but those of an attached terminal."""
    text = run.usage.text.replace("docker run", "docker create").replace(
        "docker container run", "docker container create"
    )
    text = text.replace("Create and run a new container from an image", "Create a new container")
    own = ("--detach ", "--detach-keys ", "--sig-proxy ")
    return "\n".join(line for line in text.split("\n") if not any(flag in line for flag in own))


create.__doc__ = _create_help()
create_command: DockerCommand = command(create)


SCRIPT = "/.dockmagic-script"
"""Where the text of ``--script`` is put in the container."""


def script_words(text: str) -> list[str]:
    """The interpreter's command: ``python3 -u``. Raises CommandError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise CommandError(f"--script: {error}", 125) from None
    if not words:
        raise CommandError("--script wants an interpreter: --script python3", 125)
    return words


def read_script(session: Session, body: dict[str, Any]) -> bytes:
    """Standard input as the script; it is used up, so the container gets none. Raises CommandError."""
    stdin = session.console.stdin
    data = stdin.read() if stdin is not None and not session.console.terminal else b""
    if not data:
        raise CommandError("--script runs standard input, and there is none", 125)
    body |= {"OpenStdin": False, "StdinOnce": False, "AttachStdin": False}
    return data


def put_script(session: Session, container: str, data: bytes) -> None:
    """Lay the script into the container's file system."""
    info = tarfile.TarInfo(SCRIPT.lstrip("/"))
    info.size, info.mode = len(data), 0o755
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as out:
        out.addfile(info, io.BytesIO(data))
    session.engine.request("PUT", f"/containers/{container}/archive", data=archive.getvalue(), path="/")


def check_terminal(session: Session) -> None:
    """-i and -t together want a person: a terminal, or a cell that may ask."""
    if not session.console.terminal and not session.console.confirms:
        raise CommandError("the input device is not a TTY")


def resize(session: Session, path: str, rows: int, columns: int) -> None:
    """Tell a terminal's size; a container that has just ended is no matter."""
    with contextlib.suppress(CommandError):
        session.engine.post(f"{path}/resize", h=rows, w=columns)


def send_signal(session: Session, container: str, name: str) -> None:
    """Pass a signal on to a container; one that has ended is no matter."""
    with contextlib.suppress(CommandError):
        session.engine.post(f"/containers/{container}/kill", signal=name)


def stop_interrupted(session: Session, container: str, *, kept: bool, output: Output | None = None) -> Interrupted:
    """Stop the container of an interrupted cell, whatever it takes, and say so."""
    name = container[:12]
    try:
        send_signal(session, container, "SIGINT")
        with contextlib.suppress(CommandError):
            session.engine.post(f"/containers/{container}/stop", t=2)
    except KeyboardInterrupt:  # the user is in a hurry
        send_signal(session, container, "SIGKILL")
    after = f"; its files and log are kept (docker logs {name})" if kept else " and removed"
    view = RunResult(output.stdout, output.stderr, 130, container) if output else None
    return Interrupted(f"Interrupted: container {name} was stopped{after}", view)


def exit_code_of(message: str) -> int:
    """docker run's exit code for an error of the engine's (docker CLI, container/run.go toStatusError)."""
    if any(w in message for w in ("executable file not found", "no such file or directory", "system cannot find")):
        return 127
    if any(w in message for w in ("permission denied", "operation not permitted", "is a directory")):
        return 126
    return 125


@contextlib.contextmanager
def _docker_run_errors(prefix: str = "docker: ") -> Iterator[None]:
    try:
        yield
    except (ExitError, Interrupted):
        raise
    except EngineError as error:
        command = "run" if prefix else "create"
        code = exit_code_of(error.reason) if prefix else 1
        raise CommandError(f"{prefix}{error}\n\nRun 'docker {command} --help' for more information", code) from None
    except CommandError as error:
        if error.exit_code == 1 and not str(error).startswith("docker:") and prefix:
            raise CommandError(_hint(str(error)), 125, error.view) from None
        raise


def _hint(message: str) -> str:
    return f"docker: {message}\n\nRun 'docker run --help' for more information"


def _write_cidfile(name: str, container: str) -> None:
    path = Path(name)
    if path.exists():
        raise CommandError(
            f"container ID file found, make sure the other container isn't running or delete {name}", 125
        )
    path.write_text(container)
