"""The Jupyter kernel "Dockerfile": cells are pieces of a Dockerfile, docker commands, or magics.

It is IPython's kernel with another language in front: a cell is turned into the call that does it, so streams,
displays, errors, interrupts and history are IPython's own.
"""

# ipykernel's own annotations differ from version to version, and its methods are both plain and coroutines.
# mypy: disable-error-code="override,no-untyped-call,misc"

from __future__ import annotations

import inspect
from typing import Any, cast

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from dockmagic import __version__
from dockmagic.notebook import extension
from dockmagic.notebook.completion import Names, complete_dockerfile, complete_line
from dockmagic.notebook.fragments import Fragments, docker_lines, has_stage, is_unfinished, kind_of, only_arguments


class DockerfileKernel(IPythonKernel):
    """One notebook's kernel."""

    implementation = "dockmagic"
    implementation_version = __version__
    language_info = {  # noqa: RUF012  (traitlets' base class has it as a plain attribute)
        "name": "dockerfile",
        "version": "1",
        "mimetype": "text/x-dockerfile",
        "file_extension": ".dockerfile",
        "codemirror_mode": "dockerfile",
        "pygments_lexer": "docker",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shell = cast(Any, self.shell)
        extension.load(self._shell)
        self._magics = getattr(self._shell, extension.ATTRIBUTE)[0]
        self._names = Names(self._magics)
        self._cell = ""
        self.fragments = Fragments()
        self._shell.input_transformers_cleanup.insert(0, self._transform)

    banner = f"Dockerfile kernel (dockmagic {__version__}): pieces of a Dockerfile, docker commands, or %magics\n"

    def _transform(self, lines: list[str]) -> list[str]:
        """A cell's lines as the Python that does what they say."""
        code = "".join(lines)
        kind = kind_of(code)
        if kind in {"magic", "empty"} or _CALL in code:
            return lines
        return [f"{_CALL}{kind}({code!r})\n"]

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: dict[str, Any] | None = None,
        cell_id: str | None = None,
    ) -> Any:
        """Remember which cell runs; the rest is IPython's."""
        self._cell = cell_id or ""
        more = {"cell_meta": cell_meta, "cell_id": cell_id}
        known = inspect.signature(super().do_execute).parameters
        accepted = {k: v for k, v in more.items() if k in known}
        return await super().do_execute(code, silent, store_history, user_expressions, allow_stdin, **accepted)

    def run_docker(self, code: str) -> None:
        """A cell of ``docker …`` lines, one after another; the first that fails ends it."""
        from dockmagic.notebook.errors import DockerError

        try:
            commands = docker_lines(code)
        except ValueError as error:
            raise DockerError(str(error)) from None
        for line in commands:
            self._shell.run_line_magic("docker", line)

    def run_dockerfile(self, code: str) -> None:
        """A piece of the Dockerfile: build what the cells before made, and this."""
        from dockmagic.notebook.errors import DockerError

        stale = self.fragments.rewind(self._cell)
        if stale:
            print(f"{stale} later cell{'' if stale == 1 else 's'} stale: built on what this cell was before")
        whole, before = self.fragments.with_next(code)
        if not has_stage(whole) and only_arguments(whole):
            self.fragments.keep(self._cell, code)
            return
        try:
            self._magics.build_fragment(whole, before)
        except DockerError:
            self.fragments.hold_place(self._cell)
            raise
        self.fragments.keep(self._cell, code)

    def do_complete(self, code: str, cursor_pos: int | None) -> dict[str, Any]:
        """Completion of instructions, flags, stages, images; of docker's commands; IPython's for magics."""
        position = len(code) if cursor_pos is None else cursor_pos
        text = code[:position]
        line = text.rsplit("\n", 1)[-1]
        if line.startswith("%%dockerfile") or kind_of(code) == "magic":
            found: dict[str, Any] = super().do_complete(code, position)
            return found
        word = "" if not line or line[-1].isspace() else line.split()[-1]
        if line.startswith("docker "):
            matches = complete_line(line[7:], self._names)
        else:
            matches = complete_dockerfile(self.fragments.text + text, self._names)
            if not line.strip() or "docker".startswith(line):
                matches = [*matches, "docker"] if line == word else matches
        return {
            "matches": matches,
            "cursor_start": position - len(word),
            "cursor_end": position,
            "metadata": {},
            "status": "ok",
        }

    def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """What an instruction or a docker command is for."""
        from dockmagic.notebook.reference import explain

        line_start = code.rfind("\n", 0, cursor_pos) + 1
        line_end = code.find("\n", cursor_pos)
        line = code[line_start : len(code) if line_end < 0 else line_end]
        text = explain(line, cursor_pos - line_start)
        if text is None and kind_of(code) == "magic":
            found: dict[str, Any] = super().do_inspect(code, cursor_pos, detail_level)
            return found
        data = {"text/plain": text} if text else {}
        return {"status": "ok", "found": bool(text), "data": data, "metadata": {}}

    def do_is_complete(self, code: str) -> dict[str, Any]:
        """Whether a console should send what was typed."""
        if kind_of(code) == "magic":
            found: dict[str, Any] = super().do_is_complete(code)
            return found
        if is_unfinished(code):
            return {"status": "incomplete", "indent": "    " if code.rstrip().endswith("\\") else ""}
        return {"status": "complete"}


_CALL = "get_ipython().kernel.run_"


class DockerfileApp(IPKernelApp):
    """Starts the kernel."""

    name = "dockmagic-kernel"


def main() -> None:
    """``python -m dockmagic.notebook.kernel -f CONNECTION``."""
    DockerfileApp.launch_instance(kernel_class=DockerfileKernel)


if __name__ == "__main__":
    # As a module of that name its classes can be found by traitlets and by pickles.
    from dockmagic.notebook.kernel import main as started

    started()
