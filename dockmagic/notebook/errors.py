"""A command's failure as a cell shows it: docker's words, no Python traceback, status "error"."""

from __future__ import annotations

from dockmagic.commands.errors import CommandError
from dockmagic.views.view import View, clean


class DockerError(Exception):
    """What a magic raises. ``exit_code`` is docker's; ``result`` the run's or build's view, when there is one."""

    def __init__(self, message: str, exit_code: int = 1, result: View | None = None, frame: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.result = result
        self._frame = frame

    @classmethod
    def of(cls, error: CommandError) -> DockerError:
        return cls(clean(error), error.exit_code, error.view, clean(error.frame))

    def _render_traceback_(self) -> list[str]:
        """IPython's hook for exceptions that show themselves."""
        frame = [self._frame.rstrip("\n")] if self._frame else []
        return frame + [part for part in str(self).split("\n\n") if part.strip()]
