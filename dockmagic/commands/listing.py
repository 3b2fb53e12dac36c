"""``--format`` and ``--quiet`` of the list commands: rows to a table, to JSON lines, or through a Go template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dockmagic.commands.errors import CommandError
from dockmagic.commands.gotemplate import Template, TemplateError, Typed
from dockmagic.commands.gotemplate.values import go_json
from dockmagic.views.table import Table, columns_text

Row = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """How a noun's list is shown. ``headings`` are docker's for each field; ``columns`` the fields shown by default."""

    type_name: str
    """the Go type that docker names in messages"""
    headings: dict[str, str]
    columns: tuple[str, ...]
    key: str = "ID"
    """the field that --quiet shows"""

    def show(
        self,
        rows: Sequence[Row],
        form: str = "",
        *,
        quiet: bool = False,
        columns: Sequence[str] | None = None,
        caption: str = "",
    ) -> Table:
        """The table of ``rows`` as ``--format FORM`` wants it. Raises CommandError for a bad template."""
        shown = [(c, self.headings[c]) for c in (columns or self.columns)]
        plain = [{k: v for k, v in row.items() if not callable(v)} for row in rows]
        lines: str | None = None
        if quiet and not form:
            lines = "\n".join(str(row[self.key]) for row in rows)
        elif form == "json":
            lines = "\n".join(go_json(_sorted(self._public(row))) for row in plain)
        elif form.startswith("table ") or form.startswith("table\t"):
            lines = self._table(rows, form[6:])
        elif form and form != "table":
            lines = "\n".join(self._each(unescape(form), rows))
        return Table(shown, plain, lines=lines, caption=caption)

    def _public(self, row: Row) -> Row:
        return {k: v for k, v in row.items() if k[:1].isupper()}

    def _table(self, rows: Sequence[Row], form: str) -> str:
        source = unescape(form)
        heading = dict.fromkeys(self.headings, "") | self.headings
        fields: Row = {k: heading.get(k, k.upper()) for k in [*self.headings, *(rows[0] if rows else [])]}
        if "Label" in self.headings or any("Label" in r for r in rows):
            fields["Label"] = lambda name: name.upper()
        first = run_template(source, Typed(self.type_name, fields))
        cells = [first.split("\t"), *(line.split("\t") for line in self._each(source, rows))]
        return columns_text(cells)

    def _each(self, source: str, rows: Sequence[Row]) -> list[str]:
        try:
            template = Template(source)
        except TemplateError as error:
            raise CommandError(f"failed to parse template: {error}") from None
        try:
            return [template.execute(Typed(self.type_name, row)) for row in rows]
        except TemplateError as error:
            raise CommandError(f"failed to execute template: {error}") from None


def _sorted(row: Row) -> Row:
    return {k: row[k] for k in sorted(row)}


def unescape(form: str) -> str:
    """``\\t`` and ``\\n`` typed as two characters in a format."""
    return form.replace("\\t", "\t").replace("\\n", "\n")


def parse_template(source: str, *, strict: bool = True) -> Template:
    """Raises CommandError with docker's words (exit code 64) when it does not parse."""
    try:
        return Template(source, strict=strict)
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None


def run_template(source: str, value: Any) -> str:
    """One value through a template. Raises CommandError."""
    template = parse_template(source)
    try:
        return template.execute(value)
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None


def parse_filters(values: Sequence[str]) -> dict[str, list[str]] | None:
    """``--filter key=value`` for the API; None when there is none."""
    filters: dict[str, list[str]] = {}
    for value in values:
        key, _, text = value.partition("=")
        if key:
            filters.setdefault(key.strip().lower(), []).append(text.strip())
    return filters or None
