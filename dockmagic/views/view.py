"""The base of every view: a plain text and an HTML form, and Jupyter's bundle made of the two."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


class View:
    """Something to look at. A view is made of values and never changes what it shows of them."""

    rich = True
    """Whether the HTML form shows more than the text does."""

    told = False
    """Whether a command has written all of it to its console already."""

    shown: Callable[[], bool] | None = None
    """Set by a face that has shown this already: tells whether showing it once more would repeat it."""

    def text(self) -> str:
        """For a terminal and for readers of plain text; without a newline at the end."""
        raise NotImplementedError

    def html(self) -> str:
        """For a notebook: safe markup that needs no style element and no script."""
        raise NotImplementedError

    @property
    def stdout(self) -> str:
        """The text as a command's output: what a terminal would show."""
        text = self.text()
        return f"{text}\n" if text else ""

    @property
    def stderr(self) -> str:
        return ""

    @property
    def exit_code(self) -> int:
        """0: a command that fails raises instead."""
        return 0

    @property
    def lines(self) -> list[str]:
        """The lines of :attr:`stdout`."""
        return self.stdout.splitlines()

    def json(self) -> Any:
        """:attr:`stdout` as JSON; one value, or a list when each line is one. Raises ValueError when it is neither."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            return [json.loads(line) for line in self.lines if line.strip()]

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}

    def _ipython_display_(self) -> None:
        if self.shown is not None and self.shown():
            return
        raise NotImplementedError  # IPython goes on to the bundle


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def clean(text: object, *, lines: bool = True) -> str:
    """``text`` with control and bidirectional characters written out (``\\x1b``), so that a hostile name stays text.

    ``lines`` keeps newlines and tabs; without it they are written out too.
    """
    out = str(text).encode("utf-8", "backslashreplace").decode()
    if not lines:
        out = out.replace("\n", "\\n").replace("\t", "\\t")
    return _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode(), out)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dockmagic.views"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["clean"] = clean
    environment.filters["line"] = lambda text: clean(text, lines=False)
    return environment


def render(template: str, **values: Any) -> str:
    """The HTML of a template in ``views/templates``; every value is escaped."""
    return _environment().get_template(template).render(**values).strip()
