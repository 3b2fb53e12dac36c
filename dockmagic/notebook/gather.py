"""Dockerfile cells put together, and a Dockerfile taken apart: one stage a cell, named as the cell's tag."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from dockmagic.commands.errors import CommandError


def gather(cells: Sequence[str]) -> str:
    """One Dockerfile of the ``%%dockerfile`` cells among ``cells``; "" when there are none."""
    out = []
    for cell in cells:
        first, _, body = cell.lstrip().partition("\n")
        if not re.match(r"%%dockerfile\b", first):
            continue
        tag = _tag(first)
        heading = f"# {first.strip()}\n" if tag else ""
        out.append(heading + _named(body.strip("\n"), tag) + "\n")
    return "\n".join(out)


def gather_file(path: Path) -> str:
    """The same of a notebook's file; a notebook of the kernel Dockerfile gives its cells as they are."""
    try:
        notebook = json.loads(path.read_text("utf-8"))
        cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    except OSError as error:
        raise CommandError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{path} is no notebook") from None
    if notebook.get("metadata", {}).get("kernelspec", {}).get("name") == "dockerfile":
        from dockmagic.notebook.fragments import kind_of

        return "".join(f"{c.rstrip()}\n" for c in cells if kind_of(c) == "dockerfile")
    return gather(cells)


def replayed(history: Sequence[str]) -> list[str]:
    """The cells of a session without those that were run again with the same tag: the last run of each counts."""
    last: dict[str, int] = {}
    for index, cell in enumerate(history):
        first = cell.lstrip().split("\n", 1)[0]
        if first.startswith("%%dockerfile"):
            last[_tag(first) or cell] = index
    return [history[index] for index in sorted(last.values())]


def _tag(line: str) -> str:
    """The first -t of a magic's line."""
    try:
        words = shlex.split(line)
    except ValueError:
        return ""
    for index, word in enumerate(words):
        if word in {"-t", "--tag"} and index + 1 < len(words):
            return words[index + 1]
        if word.startswith("--tag="):
            return word[6:]
    return ""


def _named(body: str, tag: str) -> str:
    """The body, its last stage named after ``tag`` unless it has a name."""
    name = re.sub(r"[^a-z0-9_.-]", "-", tag.rpartition("/")[2].partition(":")[0].lower())
    if not name or not name[0].isalpha():
        return body
    stages = list(re.finditer(r"(?im)^[ \t]*FROM[ \t]+.*$", body))
    if not stages or re.search(r"(?i)\sAS\s", stages[-1][0]):
        return body
    line = stages[-1]
    return f"{body[: line.end()].rstrip()} AS {name}{body[line.end() :]}"


def cells_of(text: str) -> list[str]:
    """A cell for each stage of a Dockerfile, tagged as the stage is named, so that later ones build on it.

    What stands before the first FROM is in every cell. Raises CommandError where there is no stage.
    """
    from dockmagic.dockerfile import parse

    lines = text.splitlines()
    nodes = parse(text).nodes
    begins = [node.start_line - 1 for node in nodes if node.keyword.upper() == "FROM"]
    if not begins:
        raise CommandError("no build stage in this Dockerfile")
    found = [re.search(r"(?i)\sAS\s+(\S+)\s*$", lines[line]) for line in begins]
    names = [match[1].lower() if match else f"stage-{index}" for index, match in enumerate(found)]
    for node in nodes:
        if node.keyword.upper() == "COPY":
            lines[node.start_line - 1] = re.sub(
                r"--from=(\d+)(?=\s)",
                lambda match: f"--from={names[int(match[1])]}" if int(match[1]) < len(names) else match[0],
                lines[node.start_line - 1],
            )
    begins = [_above(lines, line) for line in begins]
    if not found[-1]:
        names[-1] = ""
    cells = []
    for name, begin, end in zip(names, begins, [*begins[1:], len(lines)], strict=True):
        body = "\n".join([*lines[: begins[0]], *lines[begin:end]]).strip("\n")
        cells.append(f"%%dockerfile{f' -t {name}' if name else ''}\n{body}")
    return cells


def _above(lines: list[str], line: int) -> int:
    """Where the comments directly above ``line`` begin; what may be a directive stays above all stages."""
    while line > 1 and lines[line - 1].startswith("#") and not re.match(r"#\s*\w+\s*=", lines[line - 1]):
        line -= 1
    return line
