"""Completion: commands, flags, images, containers, networks after ``%docker``; instructions and stages in cells.

What an engine must be asked for is asked of one that answers already: completion starts none, and what it learns is
kept for a few seconds.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from dockmagic.notebook.imagepaths import ImagePaths

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from dockmagic.commands.api import Engine
    from dockmagic.commands.session import Session
    from dockmagic.notebook.magics import DockerMagics

KEPT = 3.0
"""Seconds for which names that an engine told are used again."""

KEYS = ("%docker", "%%docker")
"""The first words of lines that IPython's line hook is registered for."""


class Completion:
    """The completers of one shell."""

    def __init__(self, shell: InteractiveShell, magics: DockerMagics) -> None:
        self._shell = shell
        self.names = Names(magics)
        self._matcher: Any = None

    def install(self) -> None:
        """Register with IPython: a matcher that sees the whole cell where it has them (8.6), else the line hook."""
        shell: Any = self._shell
        try:
            from IPython.core.completer import context_matcher
        except ImportError:
            for key in KEYS:
                shell.set_hook("complete_command", self._line, str_key=key)
            return

        @context_matcher()  # type: ignore[untyped-decorator,unused-ignore]
        def dockmagic_matcher(context: Any) -> dict[str, Any]:
            return self._context(context)

        self._matcher = dockmagic_matcher
        shell.Completer.custom_matchers.append(self._matcher)

    def remove(self) -> None:
        """Take back what :meth:`install` registered."""
        dispatcher = self._shell.strdispatchers.get("complete_command")
        for key in KEYS:
            if dispatcher is not None:
                dispatcher.strs.pop(key, None)
        matchers = getattr(self._shell.Completer, "custom_matchers", None)
        if matchers is not None and self._matcher in matchers:
            matchers.remove(self._matcher)

    def _line(self, shell: Any, event: Any) -> list[str]:
        """IPython's hook for a line that begins with %docker."""
        del shell
        return complete_cell(event.line, self.names) or []

    def _context(self, context: Any) -> dict[str, Any]:
        """IPython's matcher: docker's completions and no others in cells and lines that are docker's."""
        from IPython.core.completer import SimpleCompletion

        lines = context.full_text.split("\n")
        text = "\n".join([*lines[: context.cursor_line], lines[context.cursor_line][: context.cursor_position]])
        found = complete_cell(text, self.names, context.full_text)
        if found is None:
            return {"completions": [], "suppress": False}
        completions = [SimpleCompletion(text=name, type="docker") for name in found]
        return {"completions": completions, "suppress": True, "matched_fragment": last_word(text), "ordered": True}


def last_word(text: str) -> str:
    """What is being typed: from the last white space on."""
    return re.split(r"\s", text)[-1]


def complete_cell(text: str, names: Names, whole: str = "") -> list[str] | None:
    """What the last word of ``text``, a cell up to the cursor, may become; None when it is not docker's matter.

    ``whole`` is all of the cell: what is below its first line is known there.
    """
    first, newline, body = text.partition("\n")
    if first.startswith("%%dockerfile"):
        if newline:
            return complete_dockerfile(body, names)
        word = last_word(first)
        if not word.startswith("-"):
            if re.search(r"--context[ =]\S*$", first):
                return _paths(word)
            body = whole.partition("\n")[2]
            if re.search(r"--build-arg \S*$", first):
                return [f"{n}=" for n in declared(body, "ARG") if n.startswith(word)]
            return [n for n in stages_of(body) if n.startswith(word)] if re.search(r"--target \S*$", first) else []
        from dockmagic.notebook.dockerfile import USAGE

        return sorted(f"--{name}" for name in USAGE.flags if f"--{name}".startswith(word))
    line = text.rsplit("\n", 1)[-1]
    match = re.match(r"\s*(?:[\w.]+\s*=\s*)?%?%docker\s(.*)", line)
    if match is None or (line.lstrip().startswith("%%") and newline):
        return None
    return complete_line(match[1], names)


class Names:
    """What there is in the engine, asked at most every few seconds."""

    def __init__(self, magics: DockerMagics) -> None:
        self._magics = magics
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._paths = ImagePaths()

    def images(self) -> list[str]:
        return self._get("images", "/images/json", lambda x: [t for t in x.get("RepoTags") or [] if "<none>" not in t])

    def containers(self) -> list[str]:
        return self._get("containers", "/containers/json", lambda c: [n.lstrip("/") for n in c["Names"]], all=True)

    def networks(self) -> list[str]:
        return self._get("networks", "/networks", lambda n: [n["Name"]])

    def volumes(self) -> list[str]:
        return self._get("volumes", "/volumes", lambda v: [v["Name"]])

    def files(self, image: str, prefix: str) -> list[str]:
        """Paths in an image that begin with ``prefix``, up to the next slash."""
        from dockmagic.commands.errors import CommandError

        if not image:
            return []
        try:
            engine = self._engine()
            return self._paths.under(engine, image, prefix) if engine is not None else []
        except CommandError:
            return []

    def _engine(self) -> Engine | None:
        """The engine, if it answers already."""
        from dockmagic import client

        session: Session = self._magics.session
        if not client.answers(session.choice.url, timeout=0.3):
            return None
        session.begin()
        return session.engine

    def _get(self, kind: str, path: str, names: Any, **query: Any) -> list[str]:
        from dockmagic.commands.errors import CommandError

        asked, known = self._known.get(kind, (0.0, []))
        if time.monotonic() - asked < KEPT:
            return known
        found: list[str] = []
        try:
            engine = self._engine()
            if engine is not None:
                answer = engine.get(path, **query)
                items = answer.get("Volumes") or [] if isinstance(answer, dict) else answer
                found = sorted({name for item in items for name in names(item)})
        except CommandError:  # no engine, no names
            found = []
        self._known[kind] = (time.monotonic(), found)
        return found


_IMAGES = frozenset(["run", "create", "rmi", "tag", "push", "history", "save", "image.inspect", "image.rm"])
_CONTAINERS = frozenset(
    [
        "exec",
        "attach",
        "start",
        "stop",
        "restart",
        "kill",
        "rm",
        "pause",
        "unpause",
        "wait",
        "rename",
        "update",
        "logs",
        "port",
        "top",
        "stats",
        "diff",
        "export",
        "commit",
        "container.inspect",
    ]
)


def complete_line(text: str, names: Names) -> list[str]:
    """What the last word of docker's command line ``text`` may become."""
    from dockmagic.commands import tree

    words = text.split(" ")
    last, before = words[-1], [w for w in words[:-1] if w]
    noun = before[0] if before and before[0] in tree.GROUPS else ""
    rest = before[1:] if noun else before
    if not rest:
        return [n for n in tree.names(noun) if n.startswith(last)]
    found = tree.find(f"{noun}.{rest[0]}" if noun else rest[0])
    if found is None:
        return []
    if last.startswith("-"):
        return sorted(f"--{n}" for n in found.usage.flags if f"--{n}".startswith(last))
    return [n for n in _objects(found.usage.path, rest[1:], names) if n.startswith(last)]


def _objects(path: tuple[str, ...], before: list[str], names: Names) -> list[str]:
    flag = before[-1] if before else ""
    if flag == "--network":
        return names.networks()
    if flag in {"-v", "--volume"}:
        return [f"{v}:" for v in names.volumes()]
    name = ".".join(path)
    if path[0] == "network":
        return names.networks()
    if path[0] == "volume":
        return names.volumes()
    if name in _IMAGES or path[-1] in _IMAGES:
        return names.images()
    if path[-1] in _CONTAINERS:
        return names.containers()
    if name == "cp":
        return [f"{c}:" for c in names.containers()]
    if name == "inspect":
        return names.containers() + names.images()
    return []


INSTRUCTIONS = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
]

FLAGS = {
    "ADD": ["--checksum=", "--chmod=", "--chown=", "--exclude=", "--keep-git-dir", "--link", "--unpack"],
    "COPY": ["--chmod=", "--chown=", "--exclude=", "--from=", "--link", "--parents"],
    "FROM": ["--platform="],
    "HEALTHCHECK": ["--interval=", "--retries=", "--start-interval=", "--start-period=", "--timeout="],
    "RUN": ["--mount=type=", "--network=", "--security="],
}


def complete_dockerfile(body: str, names: Names) -> list[str]:
    """What the last word of an unfinished Dockerfile may become."""
    line = body.rsplit("\n", 1)[-1]
    words = line.split()
    last = "" if not line or line[-1].isspace() else words[-1]
    if not words or (len(words) == 1 and last):
        return [i for i in INSTRUCTIONS if i.startswith(last.upper())]
    keyword = words[0].upper()
    stages = stages_of(body)
    variable = re.search(r"\$(\{?)(\w*)$", last)
    if variable:
        rest = last[: variable.start()]
        known = sorted({*declared(body, "ARG"), *declared(body, "ENV")})
        opened, closed = ("${", "}") if variable[1] else ("$", "")
        return [f"{rest}{opened}{n}{closed}" for n in known if n.startswith(variable[2])]
    if last.startswith("--from="):
        return [f"--from={name}" for name in [*stages, *names.images()] if name.startswith(last[7:])]
    if last.startswith("--"):
        return [f for f in FLAGS.get(keyword, []) if f.startswith(last)]
    if keyword == "FROM":
        if len(words) > 1 and not (len(words) == 2 and last):
            return ["AS"] if "AS".startswith(last.upper()) else []
        return [n for n in [*stages, *names.images()] if n.startswith(last)]
    source = next((w[7:] for w in words if w.startswith("--from=")), "")
    operands = [w for w in words[1:] if not w.startswith("--")]
    first = len(operands) == (1 if last else 0)
    if keyword in {"COPY", "ADD"} and first:
        if not source:
            return _paths(last)
        found = names.files(base_of(body, source), last if last.startswith("/") else f"/{last}")
        return found if last.startswith("/") else [path[1:] for path in found]
    if keyword in {"COPY", "ADD"} and not last.startswith("/"):
        return [] if source else _paths(last)
    if keyword in _WITH_PATHS and last.startswith("/"):
        found = names.files(base_of(body), last)
        return [path for path in found if path.endswith("/") or keyword != "WORKDIR"]
    return []


_WITH_PATHS = frozenset(["COPY", "ADD", "RUN", "WORKDIR", "CMD", "ENTRYPOINT", "VOLUME"])

_FROM = re.compile(r"(?im)^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?")


def stages_of(body: str) -> list[str]:
    """The names of a Dockerfile's stages."""
    return [match[2] for match in _FROM.finditer(body) if match[2]]


def base_of(body: str, stage: str = "") -> str:
    """The image that a stage (the last one without a name) is built on in the end; "" when it is built on none.

    What earlier steps of the stage add is not in it: nobody knows before the build.
    """
    bases = {str(number): match[1] for number, match in enumerate(_FROM.finditer(body))}
    named = {match[2].lower(): match[1] for match in _FROM.finditer(body) if match[2]}
    name = stage or (list(bases.values())[-1] if bases else "")
    for _ in range(len(bases)):
        name = bases.get(name) or named.get(name.lower()) or name
    return "" if "$" in name or name == "scratch" else name


def declared(body: str, keyword: str) -> list[str]:
    """The names that ARG or ENV instructions define, in their order."""
    found: list[str] = []
    for line in re.findall(rf"(?im)^\s*{keyword}\s+(.*)$", body):
        first = re.match(r"(\w+)\s+[^=]*$", line) if keyword == "ENV" else None  # the old form: ENV NAME value
        found += [first[1]] if first else re.findall(r"(?:^|\s)(\w+)(?==|\s|$)", line)
    return list(dict.fromkeys(found))


def _paths(prefix: str) -> list[str]:
    """Files of the context that begin with ``prefix``."""
    from pathlib import Path

    folder, _, base = prefix.rpartition("/")
    where = Path(folder or ".")
    if folder.startswith("/") or not where.is_dir():
        return []
    found = sorted(p for p in where.iterdir() if p.name.startswith(base))
    return [f"{folder}/{p.name}".lstrip("/") + ("/" if p.is_dir() else "") for p in found[:200]]
