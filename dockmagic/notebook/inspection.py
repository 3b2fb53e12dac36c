"""Shift-Tab in a notebook of Python: the kernel's answer about docker's lines and cells is docker's own help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Inspection:
    """Stands before the kernel's own ``do_inspect`` while the extension is loaded, where there is a kernel."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._kernel: Any = getattr(shell, "kernel", None)

    def install(self) -> None:
        if self._kernel is None or type(self._kernel).__name__ == "DockerfileKernel":
            return
        before = self._kernel.do_inspect

        def do_inspect(code: str, cursor_pos: int, *arguments: Any, **named: Any) -> Any:
            text = explain_cell(code, cursor_pos)
            if text is None:
                return before(code, cursor_pos, *arguments, **named)
            return {"status": "ok", "found": True, "data": {"text/plain": text}, "metadata": {}}

        self._kernel.do_inspect = do_inspect

    def remove(self) -> None:
        """Give the kernel its own method back."""
        if self._kernel is not None:
            vars(self._kernel).pop("do_inspect", None)


def explain_cell(code: str, cursor: int) -> str | None:
    """The help for what the cursor is on in a cell of Python's notebook; None when it is not docker's matter."""
    from dockmagic.notebook.reference import explain

    start = code.rfind("\n", 0, cursor) + 1
    stop = code.find("\n", cursor)
    line = code[start : len(code) if stop < 0 else stop]
    if start and code.startswith("%%"):
        return explain(line, cursor - start) if code.startswith("%%dockerfile") else None
    head, _, _ = line.partition("%")
    if "%docker" not in line or not (head.strip() == "" or head.rstrip().endswith("=")):
        return None
    return explain(line[len(head) :], cursor - start - len(head))
