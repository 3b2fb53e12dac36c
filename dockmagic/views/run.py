"""What a container's command left: its output and its exit code."""

from __future__ import annotations

from collections.abc import Iterator

from dockmagic.views.view import View, clean, render


class RunResult(View):
    """``r = %docker run …``: ``.stdout``, ``.stderr``, ``.exit_code``, ``.lines``, ``.json()``; iterates."""

    rich = False
    told = True  # what runs writes as it goes

    def __init__(self, stdout: bytes, stderr: bytes, exit_code: int, container: str = "") -> None:
        self.stdout_bytes = stdout
        self.stderr_bytes = stderr
        self._exit_code = exit_code
        self.container = container
        """the container's id (it may be gone: --rm)"""

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def exit_code(self) -> int:
        return self._exit_code

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def text(self) -> str:
        said = self.stdout.rstrip("\n")
        parts = [clean(said.replace("\r\n", "\n"))] if said else []
        if self.stderr.strip():
            parts.append("stderr:\n" + clean(self.stderr.rstrip("\n").replace("\r\n", "\n")))
        if self.exit_code:
            parts.append(f"exit code: {self.exit_code}")
        return "\n".join(parts)

    def html(self) -> str:
        return render("text.html", content=self.text())
