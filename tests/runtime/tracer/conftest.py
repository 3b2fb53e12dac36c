"""Containers of busybox in the tracer, run as whoever runs the tests: a plain user, or root without its powers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockmagic.runtime.spec import Mount, Spec, User
from dockmagic.runtime.tracer.tier import Traced, TracerTier

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Result:
    """What a container printed and how it ended."""

    code: int
    out: str
    err: str
    launched: Traced


class Box:
    """A root file system, and containers run in it one after another."""

    def __init__(self, rootfs: Path, tier: TracerTier) -> None:
        self.rootfs = rootfs
        self.tier = tier

    def spec(self, *args: str, **more: object) -> Spec:
        values: dict[str, object] = {
            "id": "test",
            "rootfs": str(self.rootfs),
            "args": args,
            "env": (PATH, "HOME=/root"),
        }
        return Spec(**{**values, **more})  # type: ignore[arg-type]

    def run(self, *args: str, stdin: bytes = b"", **more: object) -> Result:
        """Run to the end."""
        return self._collect(lambda stdio: self.tier.launch(self.spec(*args, **more), stdio), stdin)

    def sh(self, script: str, **more: object) -> Result:
        return self.run("sh", "-c", script, **more)

    def lines(self, script: str, **more: object) -> list[str]:
        """The output of a script that must succeed."""
        result = self.sh(script, **more)
        assert result.code == 0, result.err
        return result.out.splitlines()

    def execute(self, target: int, *args: str, stdin: bytes = b"", **more: object) -> Result:
        return self._collect(lambda stdio: self.tier.execute(target, self.spec(*args, **more), stdio), stdin)

    def background(self, *args: str, **more: object) -> Traced:
        """Start and leave running, without streams."""
        null = os.open(os.devnull, os.O_RDWR)
        try:
            return self.tier.launch(self.spec(*args, **more), (null, null, null))
        finally:
            os.close(null)

    def _collect(self, start: Callable[[tuple[int, int, int]], Traced], stdin: bytes) -> Result:
        with (
            subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as source,
            open(self.rootfs.parent / "out", "w+b") as out,
            open(self.rootfs.parent / "err", "w+b") as err,
        ):
            assert source.stdin and source.stdout
            source.stdin.write(stdin)
            source.stdin.close()
            launched = start((source.stdout.fileno(), out.fileno(), err.fileno()))
            code = launched.wait()
            out.seek(0)
            err.seek(0)
            return Result(code, out.read().decode(), err.read().decode(), launched)


def unpack(archive: Path, target: Path) -> None:
    target.mkdir()
    subprocess.run(["tar", "xpf", str(archive), "-C", str(target), "--no-same-owner"], check=True)


@pytest.fixture(scope="session")
def tier(tmp_path_factory: pytest.TempPathFactory) -> TracerTier:
    tier = TracerTier(str(tmp_path_factory.mktemp("tracer")))
    capability = tier.probe()
    if not capability.available:
        pytest.skip("; ".join(f"{f.name}: {f.detail}" for f in capability.findings if not f.ok))
    return tier


@pytest.fixture
def box(conformance: Path, tmp_path: Path, tier: TracerTier) -> Iterator[Box]:
    """A fresh busybox."""
    unpack(conformance / "busybox-rootfs.tar", tmp_path / "rootfs")
    yield Box(tmp_path / "rootfs", tier)


__all__ = ["PATH", "Box", "Mount", "Result", "User", "unpack"]
