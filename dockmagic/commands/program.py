"""The ``dockmagic`` program: docker's commands in a terminal, on whichever engine answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from dockmagic import client
from dockmagic.commands.errors import CommandError, ExitError
from dockmagic.commands.session import Session
from dockmagic.commands.terminal import Terminal
from dockmagic.commands.tree import execute
from dockmagic.errors import DockmagicError
from dockmagic.views.text import Text

OWN = """

Commands of dockmagic's own:
  doctor      Tell which engine was chosen and why, and what it can do
  engine      Run dockmagic's engine, or stop it
  kernel      Install the Jupyter kernel "Dockerfile\""""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's); its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["doctor"]:
        print("\n".join(doctor()))
        return 0
    session = Session(Terminal())
    try:
        view = execute(session, words)
        if words in ([], ["--help"], ["help"]):
            view = Text(f"{view}{OWN}")
        if view is not None and not view.told:
            text = view.text()
            if text:
                sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except ExitError as error:
        return error.exit_code
    except CommandError as error:
        if error.view is not None and not error.view.told and error.view.text():
            sys.stderr.write(f"{error.view.text()}\n")
        sys.stderr.write(f"{error.frame}{error}\n")
        return error.exit_code
    except DockmagicError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone; nothing more can be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    finally:
        session.close()
    return 0


def doctor() -> list[str]:
    """What was looked at to choose an engine, and what the chosen one can do, a line each."""
    lines = [f"{name}: {os.environ.get(name) or 'not set'}" for name in ("DOCKMAGIC_HOST", "DOCKER_HOST")]
    lines.append(f"docker context: {os.environ.get('DOCKER_CONTEXT') or client.current_context() or 'default'}")
    sockets = client.usual_sockets()
    lines += [f"socket {url}: {'answers' if client.answers(url) else 'does not answer'}" for url in sockets]
    if not sockets:
        lines.append("sockets: none of the usual ones is there")
    session = Session(Terminal())
    try:
        choice = session.choice
        lines.append(f"chosen: {choice.url} ({choice.reason})")
        found = session.engine.get("/info")
    except CommandError as error:
        return [*lines, str(error), *_tiers()]
    finally:
        session.close()
    lines.append(f"engine: {found.get('ServerVersion')} on {found.get('OperatingSystem')}")
    lines.append(f"runtime: {found.get('DefaultRuntime')}; storage: {found.get('Driver')}")
    lines += [f"  {name}: {value}" for name, value in found.get("DriverStatus") or []]
    lines += [str(warning) for warning in found.get("Warnings") or []]
    return [*lines, *_tiers()]


def _tiers() -> list[str]:
    """What dockmagic's own engine would have here, tried in a process of its own."""
    if not sys.platform.startswith("linux"):
        return ["dockmagic's own engine: needs Linux"]
    done = subprocess.run([sys.executable, "-m", "dockmagic", "engine", "--probe"], capture_output=True, check=False)
    heading = "dockmagic's own engine could run containers in these tiers, the strongest first:"
    return [heading, *(f"  {line}" for line in done.stdout.decode(errors="replace").splitlines())]
