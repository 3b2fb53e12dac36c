"""Our tracer beside Debian's proot: microseconds a call, milliseconds from nothing to /bin/true's end.

Needs gcc (a static program) and proot. ``BENCH_DEBIAN`` names an unpacked Debian root of this user's for the rows of
whole programs; it is written to, so give it a copy. As root they are compared with chroot, too.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.measure import Row, milliseconds
from dockmagic.runtime.spec import Spec
from dockmagic.runtime.tracer.tier import TracerTier

CALLS = {"stat": 2000, "open": 2000, "relative": 2000, "access": 2000, "readlink": 2000, "getcwd": 2000, "plain": 20000,
         "exec": 100}  # fmt: skip
PROGRAMS = {
    "tar of /usr": "tar cf - -C / usr/bin usr/lib usr/share/doc | wc -c",
    "find -newer in /usr": "find /usr -newer /etc/passwd | wc -l",
    "1,000 execs": "for i in $(seq 1000); do /bin/true; done",
}
PACKAGES = "python3 gcc python3-pip"
_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


def _tools(root: Path) -> bool:
    if shutil.which("gcc") is None or shutil.which("proot") is None:
        return False
    source = Path(__file__).with_name("calls.c")
    for folder in ("bin", "proc", "dev", "sys", "etc"):
        (root / folder).mkdir(parents=True)
    subprocess.run(["gcc", "-O2", "-static", str(source), "-o", str(root / "bin/calls")], check=True)
    (root / "bin/file").write_text("x")
    (root / "bin/link").symlink_to("file")
    shutil.copy(root / "bin/calls", root / "bin/true")
    return True


def _ours(tier: TracerTier, root: Path, *args: str) -> bytes:
    near, far = os.pipe()
    launched = tier.launch(Spec("bench", str(root), args, _ENV), (0, far, 2))
    os.close(far)
    with open(near, "rb") as file:
        out = file.read()
    if launched.wait():
        raise RuntimeError(f"{args} failed")
    return out


def _proot(root: Path, *args: str) -> bytes:
    command = ["proot", "-0", "-r", str(root), "-b", "/proc", "-b", "/dev", "-w", "/", *args]
    env = dict(item.split("=", 1) for item in _ENV)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env).stdout


def _times(out: bytes) -> dict[str, float]:
    return {name: float(value) for name, value in (line.split() for line in out.decode().splitlines())}


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        if not _tools(root):
            return
        tier = TracerTier(str(Path(scratch) / "tracer"))
        arguments = [str(word) for item in CALLS.items() for word in item]
        native = _times(subprocess.run([root / "bin/calls", root / "bin", *arguments], check=True, stdout=-1).stdout)
        ours = _times(_ours(tier, root, "/bin/calls", "/bin", *arguments))
        proot = _times(_proot(root, "/bin/calls", "/bin", *arguments))
        for name, value in ours.items():
            yield Row(f"tracer: {name} (native {native[name]:.1f})", value, proot[name], 1.0, "us")
        other = milliseconds(lambda: _proot(root, "/bin/true"), 30)
        yield Row("tracer: run /bin/true, its supervisor forked ahead", _ahead(tier, root, 30), other)
        yield Row("tracer: run /bin/true", milliseconds(lambda: _ours(tier, root, "/bin/true"), 30), other)
        debian = os.environ.get("BENCH_DEBIAN")
        if debian:
            yield from _programs(tier, Path(debian))
            yield from _install(tier, Path(debian), Path(scratch))


def _ahead(tier: TracerTier, root: Path, times: int) -> float:
    """As a shim that was forked ahead starts a container: the median in milliseconds."""
    taken = []
    for _ in range(times):
        tier.get_ready()
        time.sleep(0.05)
        began = time.perf_counter()
        _ours(tier, root, "/bin/true")
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _install(tier: TracerTier, root: Path, scratch: Path) -> Iterator[Row]:
    """apt-get install from packages that are there already, each time into a fresh copy."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    quiet = "apt-get -qq -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0"
    _ours(tier, root, "/bin/sh", "-c", f"{quiet} update && {quiet} install -y -d {PACKAGES} >/dev/null")
    words = ("/bin/sh", "-c", f"DEBIAN_FRONTEND=noninteractive {quiet} install -y {PACKAGES} >/dev/null 2>&1")

    def seconds(run: Callable[[Path], object]) -> float:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            copy = Path(folder) / "root"
            subprocess.run(["cp", "-a", root, copy], check=True)
            began = time.perf_counter()
            run(copy)
            return time.perf_counter() - began

    mine = seconds(lambda copy: _ours(tier, copy, *words))
    if os.geteuid() == 0:
        env = dict(item.split("=", 1) for item in _ENV)
        chroot = seconds(lambda copy: subprocess.run(["chroot", copy, *words], check=True, env=env))
        yield Row(f"tracer: apt-get install {PACKAGES}, chroot", mine, chroot, 1.5, "s")
    yield Row(f"tracer: apt-get install {PACKAGES}, proot", mine, seconds(lambda copy: _proot(copy, *words)), 1.0, "s")


def _programs(tier: TracerTier, root: Path) -> Iterator[Row]:
    for name, script in PROGRAMS.items():
        words = ("/bin/sh", "-c", script)
        mine = milliseconds(partial(_ours, tier, root, *words), 3)
        yield Row(f"tracer: {name}", mine, milliseconds(partial(_proot, root, *words), 3), 1.0)
