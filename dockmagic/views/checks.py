"""Build checks: what was found, each under the line of the Dockerfile it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dockmagic.views.view import View, clean, render


@dataclass(frozen=True)
class Finding:
    """``line`` counts from 1; 0 when it is about the whole."""

    rule: str
    detail: str
    description: str
    url: str
    line: int
    own: bool = False
    """A hint of dockmagic's own, where BuildKit has no rule"""

    @property
    def label(self) -> str:
        return "HINT" if self.own else "WARNING"


class Checks(View):
    """The findings on ``source``. ``asked``: by --check, so that warnings that are not there are told of too."""

    def __init__(
        self, source: str, findings: Sequence[Finding], name: str = "Dockerfile", *, asked: bool = True
    ) -> None:
        self.source = source
        self.findings = list(findings)
        self.name = name
        self.asked = asked

    @property
    def good(self) -> bool:
        """Whether to say that BuildKit's rules find nothing."""
        return self.asked and all(f.own for f in self.findings)

    def marked(self) -> list[tuple[int, str, list[Finding]]]:
        """(line number, line, its findings) of the lines that have some."""
        lines = self.source.split("\n")
        numbers = sorted({f.line for f in self.findings if 1 <= f.line <= len(lines)})
        return [(n, lines[n - 1], [f for f in self.findings if f.line == n]) for n in numbers]

    def text(self) -> str:
        lines = [] if not self.good else ["Check complete, no warnings found."]
        for number, line, found in self.marked():
            lines.append(f"{clean(self.name, lines=False)}:{number} | {clean(line, lines=False)}")
            lines += [f"  {f.label}: {clean(f'{f.rule}: {f.detail}', lines=False)}" for f in found]
        lines += [f"{f.label}: {clean(f'{f.rule}: {f.detail}', lines=False)}" for f in self.findings if not f.line]
        return "\n".join(lines)

    def html(self) -> str:
        return render("checks.html", checks=self)
