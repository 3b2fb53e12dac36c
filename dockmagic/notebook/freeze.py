"""A Dockerfile for the environment that a kernel runs in: Python, the distributions it has imported, what to run."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Container, Iterable, Mapping
from types import ModuleType
from typing import Any

from dockmagic.commands.errors import CommandError

LEFT_OUT = frozenset(["pip", "setuptools", "wheel", "dockmagic"])
"""Distributions that the base image has, or that a container has no use for."""


def frozen_dockerfile(modules: Iterable[str], program: str = "", base: str = "") -> str:
    """The Dockerfile's text. ``modules`` are what is imported; ``program`` is the notebook (.ipynb) or script (.py)
    that a container runs, "" for none.
    """
    if program and not re.fullmatch(r"[^\s\0-\x1f]+( [^\s\0-\x1f]+)*\.(ipynb|py)", program):
        raise CommandError(f"{program} is no notebook's name and no script's: .ipynb or .py")
    notebook = program.endswith(".ipynb")
    wanted = dict(imported_distributions(modules))
    if notebook:
        for name in ("nbconvert", "ipykernel"):
            wanted.setdefault(name, _version(name))
    version = ".".join(platform.python_version_tuple()[:2])
    image = base if base and "VERSION" not in base else f"python:{version}-slim"
    lines = [f"FROM {image}", "WORKDIR /work"]
    if wanted:
        pins = [f"{n}=={v}" if v else n for n, v in sorted(wanted.items(), key=lambda p: p[0].lower())]
        lines.append("RUN pip install --no-cache-dir " + " \\\n    ".join(["", *pins]).strip())
    if not program:
        return "\n".join([*lines, 'CMD ["python"]']) + "\n"
    lines.append(f"COPY {json.dumps([program, './'])}")
    file = program.rpartition("/")[2]
    if notebook:
        lines.append(f"CMD {json.dumps(['jupyter', 'nbconvert', '--to', 'notebook', '--execute', '--stdout', file])}")
    else:
        lines.append(f"ENTRYPOINT {json.dumps(['python', file])}")
    return "\n".join(lines) + "\n"


def modules_of(names: Mapping[str, Any], hidden: Container[str] = ()) -> set[str]:
    """The modules that a namespace's values are or come from. Names that begin with an underscore, and ``hidden``
    ones (what IPython itself puts there), are not the user's.
    """
    found = set()
    for name, value in names.items():
        if not name.startswith("_") and name not in hidden:
            module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(module, str):
                found.add(module)
    return found


def imported_distributions(modules: Iterable[str]) -> list[tuple[str, str]]:
    """(name, version) of the distributions that ``modules`` belong to."""
    tops = {name.partition(".")[0] for name in modules}
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name.lower() not in LEFT_OUT and tops & _tops(distribution):
            found[name] = distribution.version.partition("+")[0]
    return sorted(found.items())


def _tops(distribution: importlib.metadata.Distribution) -> set[str]:
    """The top-level modules a distribution installs."""
    told = distribution.read_text("top_level.txt")
    if told:
        return set(told.split())
    return {file.parts[0].removesuffix(".py") for file in distribution.files or [] if file.suffix == ".py"}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""
