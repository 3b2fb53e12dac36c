"""Whether the tracer can work here: it tries, in a child that may be killed for it, and says what came of it.

Nothing is remembered: a kernel's settings change with a boot, a pod or a node.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from dockmagic import ownership
from dockmagic.runtime import libc
from dockmagic.runtime.protocols import Capability, Finding
from dockmagic.runtime.tracer import kernel
from dockmagic.runtime.tracer.arch import Architecture, current
from dockmagic.runtime.tracer.filter import TRACE, FilterBuilder
from dockmagic.runtime.tracer.memory import AddressSpace
from dockmagic.runtime.tracer.registers import Registers

NOT_ISOLATED = (
    "processes: a container sees the host's processes in /proc; signals reach only its own",
    "network: connections leave as the host's; each container has a loopback address of its own",
    "kernel and files: paths are translated, not walled off; nothing here holds hostile code",
    "users: root in a container is the engine's user; other users and owners are remembered, permissions best effort",
)
_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
_YAMA_MEANING = {
    "0": "any process of the same user may be traced",
    "1": "descendants may be traced, which is what the tracer does",
    "2": "only CAP_SYS_PTRACE may trace",
    "3": "nobody may trace until the next boot",
}
_Tell: TypeAlias = "Callable[[str, bool, str, str], None]"
_MARK = b"/dockmagic-probe"
_SECONDS = 5
_OLDEST = (4, 8)
"""Before Linux 4.8 a filter was not asked again about a call that the tracer had changed."""


def probe(folder: str | None = None) -> Capability:
    """Try everything the tier needs; ``folder`` is where it would keep its copies of programs."""
    place = _existing(folder or tempfile.gettempdir())
    findings = [_machine(), _kernel(), _yama(), *_trial(), _folder(place), _terminals()]
    needed = {"machine", "kernel", "ptrace", "seccomp trace", "process memory", "programs' folder"}
    available = all(finding.ok for finding in findings if finding.name in needed)
    findings.append(_attributes(place))
    return Capability("tracer", available, tuple(findings), NOT_ISOLATED, id_mapping="single", overlay="no")


def _machine() -> Finding:
    name = os.uname().machine
    if current() is None:
        return Finding("machine", False, name, "the tracer knows x86_64 and aarch64 only")
    return Finding("machine", True, name)


def _kernel() -> Finding:
    release = os.uname().release
    numbers = [int("".join(c for c in part if c.isdigit()) or 0) for part in release.split(".")[:2]]
    if tuple(numbers) < _OLDEST:
        return Finding("kernel", False, release, "before Linux 4.8 a traced call can get past its filter")
    return Finding("kernel", True, release)


def _yama() -> Finding:
    try:
        with open(_YAMA, encoding="ascii") as file:
            value = file.read().strip()
    except OSError:
        return Finding("yama", True, "not there")
    return Finding("yama", value in ("0", "1"), f"ptrace_scope {value}", _YAMA_MEANING.get(value, ""))


def _existing(folder: str) -> str:
    """The folder, or the nearest one above it that is there already."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _folder(folder: str) -> Finding:
    name, other = "programs' folder", "choose another with DOCKMAGIC_ROOT"
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        flags = os.statvfs(folder).f_flag
    except OSError as error:
        return Finding(name, False, f"{folder}: {error.strerror}", f"containers have no place here; {other}")
    if flags & os.ST_NOEXEC:
        return Finding(name, False, f"{folder} is mounted noexec", f"no program of a container could run; {other}")
    return Finding(name, True, folder)


def _terminals() -> Finding:
    try:
        for fd in os.openpty():
            os.close(fd)
    except OSError as error:
        return Finding(
            "terminals", False, f"/dev/pts: {error.strerror}", "containers run, but none with a terminal (-t)"
        )
    return Finding("terminals", True, "/dev/pts")


def _attributes(folder: str) -> Finding:
    try:
        fd, path = tempfile.mkstemp(dir=folder)
    except OSError as error:
        return Finding("owner records", False, error.strerror or "", "the folder can't be written")
    try:
        os.setxattr(fd, ownership.ATTRIBUTE, b"0:0:100644")
    except OSError as error:
        return Finding(
            "owner records", False, f"user.* attributes: {error.strerror}", "owners last only while a container runs"
        )
    finally:
        os.close(fd)
        os.unlink(path)
    return Finding("owner records", True, "user.* attributes")


# --- the trial: a child traces a grandchild, as the supervisor would ---


def _trial() -> list[Finding]:
    arch = current()
    if arch is None:
        return []
    near, far = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(near)
        _be_tracer(arch, far)
    os.close(far)
    with open(near, "rb") as file:
        said = file.read()
    _pid, status = os.waitpid(pid, 0)
    findings = [Finding(*item) for item in (json.loads(line) for line in said.splitlines())]
    names = [finding.name for finding in findings]
    for name in ("ptrace", "seccomp trace", "process memory"):
        if name not in names:
            ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "no answer"
            findings.append(Finding(name, False, ended, "not reached: an earlier step failed or was killed for it"))
            break
    return findings


def _be_tracer(arch: Architecture, out: int) -> NoReturn:
    def tell(name: str, ok: bool, detail: str, meaning: str) -> None:
        os.write(out, json.dumps([name, ok, detail, meaning]).encode() + b"\n")

    target = 0
    try:
        signal.alarm(_SECONDS)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        go_near, go_far = os.pipe()
        said_near, said_far = os.pipe()
        target = os.fork()
        if target == 0:
            os.close(go_far)  # so that it ends when the tracer is killed for what it tries
            _be_traced(arch, go_near, said_far)
        os.close(said_far)
        try:
            kernel.seize(target)
        except OSError as error:
            tell("ptrace", False, f"PTRACE_SEIZE: {error.strerror}", "no process may be traced here")
            os._exit(0)
        tell("ptrace", True, "PTRACE_SEIZE", "")
        os.write(go_far, b"g")
        _treat(arch, target, said_near, tell)
    except OSError as error:
        tell("seccomp trace", False, str(error), "")
    finally:
        if target:
            try:
                os.kill(target, signal.SIGKILL)
            except OSError:
                pass  # it has ended
        os._exit(0)


def _treat(arch: Architecture, target: int, said: int, tell: _Tell) -> None:
    """Answer the grandchild's one stopped call and look at what it got."""
    registers = Registers(arch)
    while True:
        pid, status = os.waitpid(target, kernel.WALL)
        if os.WIFSIGNALED(status) or os.WIFEXITED(status):
            text = f"ended with signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else ""
            with open(said, "rb") as file:
                text = text or file.read().decode(errors="replace")
            tell("seccomp trace", False, text, "seccomp filters that stop for a tracer are refused here")
            return
        if status >> 16 == kernel.PTRACE_EVENT_SECCOMP:
            break
        kernel.ptrace(kernel.PTRACE_CONT, pid, 0, status >> 8 & 0xFF if status >> 16 == 0 else 0)
    registers.load(target)
    if registers.words[registers.number_index] != arch.numbers["chdir"]:
        tell("seccomp trace", False, "the registers read are not the call's", "a kernel that only seems to trace")
        return
    space = AddressSpace()
    try:
        path = space.string(target, registers.words[arch.arguments[0]])
        tell("process memory", path == _MARK, "/proc/PID/mem", "")
    except OSError as error:
        tell("process memory", False, f"/proc/PID/mem: {error.strerror}", "paths can't be read")
    registers.skip(target, -errno.EDOM)
    kernel.ptrace(kernel.PTRACE_CONT, target, 0, 0)
    with open(said, "rb") as file:
        answer = file.read()
    right = answer == b"%d" % errno.EDOM
    tell("seccomp trace", right, "SECCOMP_RET_TRACE", "" if right else "a stopped call could not be answered")


def _be_traced(arch: Architecture, go: int, said: int) -> NoReturn:
    try:
        if not os.read(go, 1):
            os._exit(0)
        builder = FilterBuilder(arch)
        builder.add("chdir", TRACE)
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.seccomp_filter(builder.build())
        try:
            os.chdir(_MARK)
            os.write(said, b"0")
        except OSError as error:
            os.write(said, b"%d" % (error.errno or 0))
    except OSError as error:
        os.write(said, f"seccomp: {error.strerror}".encode())
    finally:
        os._exit(0)
