"""What goes wrong between a line and its result, with docker's words and exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic.commands.usage import Usage
    from dockmagic.views.view import View


class CommandError(DockmagicError):
    """A command failed. ``str()`` is what docker would print, ``exit_code`` what it would exit with.

    ``view`` is what there is to look at beside the message: a failed build's progress, a run's output. ``frame`` are
    source lines to show before it.
    """

    def __init__(self, message: str, exit_code: int = 1, view: View | None = None, frame: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.view = view
        self.frame = frame


class FlagError(CommandError):
    """A flag that the command has not, or a value it does not take (docker CLI: exit code 125)."""

    def __init__(self, message: str, usage: Usage) -> None:
        name = " ".join(("docker", *usage.path))
        super().__init__(
            f"{message}\n\nUsage:  {usage.line}\n\nRun '{name} --help' for more information", exit_code=125
        )


class OperandError(CommandError):
    """Too few or too many operands (docker CLI, cli/required.go)."""

    def __init__(self, usage: Usage) -> None:
        name = " ".join(("docker", *usage.path))
        if usage.least == usage.most:
            wants = _number("", usage.least)
        elif usage.most is None:
            wants = _number("at least ", usage.least)
        elif usage.least:
            wants = f"at least {usage.least} and at most {usage.most} arguments"
        else:
            wants = _number("at most ", usage.most)
        if wants == "0 arguments":
            message = f"docker: '{name}' accepts no arguments"
        else:
            message = f"docker: '{name}' requires {wants}"
        verb = "See" if usage.most is None else "Run"
        super().__init__(f"{message}\n\nUsage:  {usage.line}\n\n{verb} '{name} --help' for more information")


def _number(prefix: str, count: int) -> str:
    return f"{prefix}{count} argument{'' if count == 1 else 's'}"


class EngineError(CommandError):
    """The engine answered with an error. ``status`` is the HTTP status, ``reason`` the engine's own message."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"Error response from daemon: {reason}")
        self.status = status
        self.reason = reason


class ExitError(CommandError):
    """The container's own process ended with something else than 0; its output has been shown already."""

    def __init__(self, exit_code: int, what: str, view: View | None = None) -> None:
        super().__init__(f"{what} exited with code {exit_code}", exit_code, view)


class Interrupted(CommandError):
    """The user interrupted; the message says what was stopped and what was kept (exit code 128 + SIGINT)."""

    def __init__(self, message: str, view: View | None = None) -> None:
        super().__init__(message, 130, view)
