"""Many of everything on one engine: what failed, what is left, what it took of memory.

``BENCH_RUNS`` is the number of runs one after the other (2,000); DOCKMAGIC_RUNTIME chooses the tier. With
2,000 it takes some minutes, so ``python -m bench`` alone leaves it out.
"""

from __future__ import annotations

import gc
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker

from bench.measure import Row, milliseconds
from tests.support import images, services

RUNS = int(os.environ.get("BENCH_RUNS", "2000"))
PARALLEL, FOLLOWERS, BUILDS = 50, 20, 8
LINES = 5_000


def rows() -> Iterator[Row]:
    """Failures of each kind of load, then what the engine held before and holds after."""
    with tempfile.TemporaryDirectory() as folder, services.embedded(Path(folder) / "root") as url:
        client = docker.DockerClient(base_url=url, timeout=300)
        engine = Held(client, url, Path(folder) / "root")
        client.images.load(images.alpine())
        load = Load(url, client)
        for action, count in ((load.run, PARALLEL), (load.follow, FOLLOWERS), (load.build, BUILDS)):
            load.side_by_side(action, count)  # as many threads as there will be
        _tidy(client)
        before = engine.settled()
        engine.forget_peak()

        began = time.perf_counter()
        failed = load.one_after_the_other(load.run, RUNS)
        taken = (time.perf_counter() - began) * 1000
        yield Row(f"{RUNS} run --rm, one after the other: failures", failed, goal=0, unit="")
        yield Row("  one of them on average", taken / RUNS)
        yield Row("  engine's memory then", engine.memory(), unit="MB")
        for name, action, count, times in (
            ("run --rm", load.run, PARALLEL, 4),
            (f"followers of {LINES} lines", load.follow, FOLLOWERS, 2),
            ("builds", load.build, BUILDS, 2),
        ):
            failed = sum(load.side_by_side(action, count) for _ in range(times))
            yield Row(f"{times} x {count} {name} side by side: failures", failed, goal=0, unit="")
            yield Row("  engine's memory then", engine.memory(), unit="MB")
        load.writer.remove(force=True)
        _tidy(client)
        after = engine.settled(before)
        yield Row("engine's memory: peak", engine.memory("VmHWM"), unit="MB")
        for name, value in after.items():
            yield Row(f"{name}: before", before[name], unit="")
            yield Row(f"{name}: after", value, goal=before[name], unit="")
        yield Row("a run afterwards", milliseconds(lambda: load.run(client, 0), 20))
        client.close()


_WRITE = f"for i in $(seq 1 {LINES}); do echo line $i; done"


class Load:
    """What is asked of the engine at ``url``; each action raises when the answer is not the right one."""

    def __init__(self, url: str, client: docker.DockerClient) -> None:
        self._url = url
        self.writer = client.containers.run("alpine", ["sh", "-c", _WRITE], detach=True)

    def run(self, client: docker.DockerClient, number: int) -> None:
        out = client.containers.run("alpine", ["echo", str(number)], remove=True)
        _expect(out, b"%d\n" % number)

    def follow(self, client: docker.DockerClient, number: int) -> None:
        got = b"".join(client.api.logs(self.writer.id, stream=True, follow=True))
        _expect(got, b"".join(b"line %d\n" % line for line in range(1, LINES + 1)))

    def build(self, client: docker.DockerClient, number: int) -> None:
        text = f"FROM alpine\nRUN echo {number} > /number\nRUN cat /number\n"
        built, _ = client.images.build(fileobj=io.BytesIO(text.encode()), nocache=True, rm=True)
        client.images.remove(built.id, force=True)

    def one_after_the_other(self, action: Callable[[docker.DockerClient, int], None], count: int) -> int:
        """How many of ``count`` failed."""
        client = docker.DockerClient(base_url=self._url, timeout=300)
        failed = sum(not _succeeds(lambda number=number: action(client, number)) for number in range(count))
        client.close()
        return failed

    def side_by_side(self, action: Callable[[docker.DockerClient, int], None], count: int) -> int:
        """How many of ``count`` at once failed, each with a client of its own."""

        def one(number: int) -> bool:
            client = docker.DockerClient(base_url=self._url, timeout=300)
            try:
                return _succeeds(lambda: action(client, number))
            finally:
                client.close()

        with ThreadPoolExecutor(count) as pool:
            failed = count - sum(pool.map(one, range(count)))
        gc.collect()  # docker-py's streams hold their connections in cycles
        return failed


class Held:
    """What an engine holds."""

    def __init__(self, client: docker.DockerClient, url: str, root: Path) -> None:
        self._client = client
        self._pid = services.listener(url)
        self._root = root

    def now(self) -> dict[str, float]:
        bridges = [f"/sys/class/net/dm-{network.id[:12]}/brif" for network in self._client.networks.list()]
        mounts = Path(f"/proc/{self._pid}/mounts").read_text()
        return {
            "threads": len(os.listdir(f"/proc/{self._pid}/task")),
            "descriptors": len(os.listdir(f"/proc/{self._pid}/fd")),
            "processes": len(self._family()),
            "mounts": mounts.count(str(self._root)),
            "interfaces on bridges": sum(len(os.listdir(path)) for path in bridges if os.path.isdir(path)),
            "files and folders": sum(len(folders) + len(files) for _, folders, files in os.walk(self._root)),
        }

    def settled(self, wanted: dict[str, float] | None = None) -> dict[str, float]:
        """What is held once it no longer changes: much is removed behind the callers' backs. At most 60 s."""
        deadline = time.monotonic() + 60
        last = self.now()
        while time.monotonic() < deadline:
            time.sleep(1)
            seen = self.now()
            if seen == last and (wanted is None or all(value <= wanted[name] for name, value in seen.items())):
                return seen
            last = seen
        return last

    def forget_peak(self) -> None:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    def memory(self, name: str = "VmRSS") -> float:
        """MB of a line in /proc/PID/status; VmHWM is the peak."""
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def _family(self) -> set[int]:
        """The engine and what descends from it: zygote, shims, containers."""
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue  # it has ended
                children.setdefault(parent, []).append(int(name))
        found, waiting = set(), [self._pid]
        while waiting:
            pid = waiting.pop()
            found.add(pid)
            waiting += children.get(pid, ())
        return found


def _tidy(client: docker.DockerClient) -> None:
    client.images.prune()
    client.api.prune_builds(all=True)


def _expect(got: bytes, wanted: bytes) -> None:
    if got != wanted:
        raise RuntimeError(f"{got[-200:]!r} instead of {wanted[-200:]!r}")


def _succeeds(action: Callable[[], object]) -> bool:
    try:
        action()
    except Exception as error:  # whatever it is, it is a failure to be counted, and the rest goes on
        print(f"  failed: {error}", flush=True)
        return False
    return True
