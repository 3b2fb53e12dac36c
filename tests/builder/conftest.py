"""A real Builder on a real store and runtime, in a process of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builder.cases import context_tar


@dataclass
class Built:
    """What came of a build."""

    answer: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.answer[name]

    def step(self, text: str) -> dict[str, Any]:
        """The one step whose name holds the text."""
        found = [step for step in self.answer["steps"] if text in step["name"]]
        assert len(found) == 1, f"{text!r} is in {[step['name'] for step in self.answer['steps']]}"
        return dict(found[0])

    def cached(self) -> list[bool]:
        """Of the Dockerfile's own steps, in order."""
        return [step["cached"] for step in self.answer["steps"] if "/" in step["name"].split("]")[0]]

    def files(self) -> dict[str, dict[str, Any]]:
        """The files of the layers above the base image's, later layers over earlier ones."""
        return {entry["path"]: entry for layer in self.answer["layers"] for entry in layer}


class Workshop:
    """Builds in the worker."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def send(self, **message: Any) -> None:
        """Ask without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait(20)

    def ask(self, **message: Any) -> Any:
        self.send(**message)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker is gone"
        answer = json.loads(line)
        assert "failure" not in answer, answer.get("failure")
        return answer["answer"]

    def build(
        self,
        dockerfile: str,
        files: dict[str, str] | None = None,
        *,
        fails: bool = False,
        cancel_at: str = "",
        **fields: Any,
    ) -> Built:
        """Build; ``files`` gives paths their text. Unless it ``fails``, it has to succeed."""
        entries = [
            {"path": path, "type": "file", "mode": "0644", "text": text}
            for path, text in {"Dockerfile": dockerfile, **(files or {})}.items()
        ]
        context = base64.b64encode(context_tar(entries).getvalue()).decode()
        built = Built(self.ask(request={"context": context, **fields}, cancel_at=cancel_at))
        assert (built.error is not None) is fails, f"{built.error} {built.logs}"
        return built


@contextlib.contextmanager
def opened(folder: Path, conformance: Path, tier: str = "", disk: str = "") -> Iterator[Workshop]:
    """A worker whose files are in ``folder``; ``tier`` forces one, ``disk`` is the size of its layers' own disk."""
    environment = {"DOCKMAGIC_RUNTIME": tier, "DOCKMAGIC_TEST_DISK": disk}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.builder.worker", str(folder), str(conformance)],
        cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, **{name: value for name, value in environment.items() if value}},
    )  # fmt: skip
    try:
        yield Workshop(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


@pytest.fixture(scope="session")
def workshop(conformance: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """One Builder for all tests, as root in the namespaces tier. Its images are busybox and alpine."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the namespaces tier, real owners")
    with opened(tmp_path_factory.mktemp("builder"), conformance) as worker:
        yield worker


@pytest.fixture(scope="session")
def traced(conformance: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """The same in the tracer tier, where owners are recorded."""
    with opened(tmp_path_factory.mktemp("traced"), conformance, "tracer") as worker:
        yield worker
