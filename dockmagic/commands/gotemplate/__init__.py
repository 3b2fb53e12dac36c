"""Go's text/template as far as docker's ``--format`` goes: text in, text out, no I/O.

``parse.py`` makes a tree of the template, ``values.py`` prints and compares as Go does, ``run.py`` executes. Begin at
:func:`Template`.
"""

from __future__ import annotations

from dockmagic.commands.gotemplate.parse import TemplateError
from dockmagic.commands.gotemplate.run import Template, Typed

__all__ = ["Template", "TemplateError", "Typed"]
