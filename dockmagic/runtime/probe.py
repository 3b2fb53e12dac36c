"""What this machine allows, found out by trying it in a child process; nothing is assumed and nothing remembered.

A tier's probe is a list of small attempts; each becomes a Finding. Those that the tier can't do without decide whether
it is available.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dockmagic.runtime import libc, userns
from dockmagic.runtime.namespaces import capabilities, cgroups, owners
from dockmagic.runtime.protocols import Capability, Finding

TIERS = ("namespaces", "rootless", "tracer")
"""Strongest first."""


def probe(folder: Path | None = None) -> list[Capability]:
    """All tiers, strongest first. ``folder``: where the engine keeps its files (an overlay is tried there)."""
    return [probe_tier(name, folder) for name in TIERS]


def probe_tier(name: str, folder: Path | None = None) -> Capability:
    """One tier; see :data:`TIERS`."""
    if name == "tracer":
        return _tracer(folder)
    attempt = {"namespaces": _try_privileged, "rootless": _try_rootless}[name]
    with _Scratch(folder) as scratch:
        return _in_child(name, lambda: attempt(scratch))


@dataclass
class _Report:
    """Findings as they come. After one that matters and failed, the rest is not tried."""

    tier: str
    findings: list[Finding] = field(default_factory=list)
    available: bool = True
    id_mapping: str = "host"
    overlay: str = "no"

    def note(self, name: str, ok: bool, detail: str = "", meaning: str = "", *, needed: bool = False) -> bool:
        self.findings.append(Finding(name, ok, detail, "" if ok else meaning))
        if needed and not ok:
            self.available = False
        return ok

    def attempt(self, name: str, action: Callable[[], object], meaning: str, *, needed: bool = False) -> bool:
        """Do it; what the kernel said when it refused, and then ``meaning``."""
        try:
            action()
        except OSError as error:
            return self.note(name, False, error.strerror or str(error), meaning, needed=needed)
        return self.note(name, True)

    def capability(self) -> Capability:
        lines = _not_isolated(self) if self.available else ()
        return Capability(self.tier, self.available, tuple(self.findings), lines, self.id_mapping, self.overlay)


def _not_isolated(report: _Report) -> tuple[str, ...]:
    lines = ["the kernel: containers share the machine's"]
    if report.tier == "rootless":
        lines.append("this user: what escapes a container can do what this user can")
        if report.id_mapping == "single":
            lines.append("users: all of a container's are this user (changes of owner are remembered, not done)")
    failed = {finding.name for finding in report.findings if not finding.ok}
    if "seccomp filters" in failed:
        lines.append("system calls: no filter")
    if "cgroup limits" in failed:
        lines.append("memory, CPUs and number of processes: no limits")
    if "new /proc" in failed:
        lines.append("processes: the outer /proc is visible")
    return tuple(lines)


def _try_privileged(scratch: str) -> Capability:
    report = _Report("namespaces")
    held = capabilities.effective()
    admin = bool(held >> capabilities.number("CAP_SYS_ADMIN") & 1)
    meaning = "containers with real isolation need root with CAP_SYS_ADMIN"
    if not report.note("CAP_SYS_ADMIN", admin, "" if admin else f"uid {os.geteuid()}", meaning, needed=True):
        return report.capability()
    initial = userns.in_initial_namespace()
    if not initial:
        report.id_mapping = "range" if userns.mapped_ids() > 1 else "single"
        report.note("machine's own ids", False, "inside a user namespace", "ids are those of the outer mapping")
    own = libc.CLONE_NEWNS | libc.CLONE_NEWUTS | libc.CLONE_NEWIPC
    if report.attempt("own mounts", lambda: libc.unshare(own), "no namespaces, no containers", needed=True):
        _try_inside(report, scratch, ["userxattr"] if not initial else [""])
    return report.capability()


def _try_rootless(scratch: str) -> Capability:
    report = _Report("rootless")
    if os.geteuid() == 0 and capabilities.effective() >> capabilities.number("CAP_SYS_ADMIN") & 1:
        # It would work, but says nothing: a root user has no subordinate ids and no use for this tier
        report.note("unprivileged user", False, "this user is root", "the namespaces tier serves root")
    own = libc.CLONE_NEWNS | libc.CLONE_NEWUTS | libc.CLONE_NEWIPC

    def enter() -> None:
        report.id_mapping = userns.enter(own)

    meaning = "user namespaces are closed to this user (a sysctl, or an outer container's seccomp profile)"
    if not report.attempt("user namespace", enter, meaning, needed=True):
        return report.capability()
    detail = "" if report.id_mapping == "range" else "no subordinate ids, or no newuidmap that works"
    report.note("subordinate ids", report.id_mapping == "range", detail, "one id only: root is emulated by a filter")
    _try_inside(report, scratch, ["userxattr"])
    return report.capability()


def _try_inside(report: _Report, scratch: str, overlay_options: list[str]) -> None:
    """What both tiers need, in the namespaces just made."""
    private = libc.MS_SLAVE | libc.MS_REC
    meaning = "mounting is refused (AppArmor or SELinux?)"
    if not report.attempt("private mounts", lambda: libc.mount(None, "/", None, private), meaning, needed=True):
        return
    mount_tmpfs = lambda: libc.mount("tmpfs", "/tmp", "tmpfs", 0, "size=64k")  # noqa: E731  (its name says it)
    _try_overlay(report, scratch, overlay_options)
    if report.id_mapping == "single":
        meaning = "changes of owner are answered and forgotten"
        report.attempt("owner records", lambda: _try_asking(scratch), meaning)
    report.attempt("tmpfs", mount_tmpfs, "no /dev can be made", needed=True)
    meaning = "a new network can't be made: only --network host"
    report.attempt("network namespace", lambda: libc.unshare(libc.CLONE_NEWNET), meaning)
    limits = cgroups.describe()
    report.note("cgroup limits", limits.writable, limits.kind, "limits are accepted and have no effect")
    report.attempt("pid namespace", _try_pid_namespace, "processes can't be told apart", needed=True)
    report.attempt("new /proc", _try_proc, "the outer /proc is shown instead")
    report.attempt("seccomp filters", _try_seccomp, "system calls are not filtered")


def _try_overlay(report: _Report, scratch: str, choices: list[str]) -> None:
    error = ""
    for choice in choices:
        try:
            overlay_works(scratch, choice)
        except OSError as refused:
            error = refused.strerror or str(refused)
            continue
        report.overlay = choice
        report.note("overlay", True, choice)
        return
    report.note("overlay", False, error, "layers are cloned for each container instead")


def overlay_works(scratch: str, option: str) -> None:
    """Mount an overlay of folders in ``scratch``, remove a file of its lower layer through it. Raises OSError."""
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(os.path.join(scratch, name))
    Path(scratch, "lower", "file").touch()
    data = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
    merged = os.path.join(scratch, "merged")
    libc.mount("overlay", merged, "overlay", 0, f"{data},{option}" if option else data)
    try:
        os.unlink(os.path.join(merged, "file"))  # a whiteout must be possible
        os.mkdir(os.path.join(merged, "folder"))
    finally:
        libc.umount(merged)


def _try_pid_namespace() -> None:
    libc.unshare(libc.CLONE_NEWPID)


def _try_proc() -> None:
    """Needs a process in the new pid namespace."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            libc.mount("proc", "/proc", "proc", libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC)
        except OSError as error:
            code = error.errno or 1
        os._exit(code)
    _raise_exit(child)


def _try_seccomp() -> None:
    libc.seccomp_filter(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW


def _try_asking(scratch: str) -> None:
    """A filter that asks (in a child, whose filter it stays), openat2, and attributes on the engine's file system."""
    root = os.open(scratch, os.O_PATH | os.O_DIRECTORY)
    file = libc.open_in_root(root, b"/asked", os.O_CREAT | os.O_WRONLY)
    os.setxattr(file, "user.dockmagic.probe", b"1")
    os.close(file)
    os.close(root)
    child = os.fork()
    if child == 0:
        code = 0
        try:
            owners.install(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW
        except OSError as error:
            code = error.errno or 1
        os._exit(code)
    _raise_exit(child)


def _raise_exit(child: int) -> None:
    """A child's exit code as an error of that number."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise OSError(abs(status), os.strerror(abs(status)))


def _tracer(folder: Path | None) -> Capability:
    from dockmagic.runtime.tracer.probe import probe as probe_tracer

    return probe_tracer(None if folder is None else str(folder))


def describe(capabilities: Iterable[Capability]) -> Iterator[str]:
    """A line a tier, and below it one for each thing tried: what it gave, and what follows where it was refused."""
    for capability in capabilities:
        yield f"{capability.tier}: {'available' if capability.available else 'not available'}"
        for finding in capability.findings:
            detail = f" ({finding.detail})" if finding.detail else ""
            meaning = f": {finding.meaning}" if finding.meaning else ""
            yield f"  {finding.name}: {'yes' if finding.ok else 'no'}{detail}{meaning}"


class _Scratch:
    """A folder to try in, on the file system of ``folder`` (or of the temporary files)."""

    def __init__(self, folder: Path | None) -> None:
        place = folder if folder is not None and folder.is_dir() else Path(os.environ.get("TMPDIR", "/tmp"))
        self._path = str(place / f"probe-{os.getpid()}")

    def __enter__(self) -> str:
        os.mkdir(self._path, 0o700)
        return self._path

    def __exit__(self, *_: object) -> None:
        _remove_tree(self._path)


def _remove_tree(path: str) -> None:
    """A few folders and files; an overlay's work folder among them has no permissions at all."""
    try:
        os.rmdir(path)
    except NotADirectoryError:
        os.unlink(path)
    except OSError:
        os.chmod(path, 0o700)
        for name in os.listdir(path):
            _remove_tree(os.path.join(path, name))
        os.rmdir(path)


def _in_child(tier: str, attempt: Callable[[], Capability]) -> Capability:
    """Run ``attempt`` in a child, so that this process keeps its namespaces."""
    near, far = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(near)
            data = pickle.dumps(attempt())
            os.write(far, data)
        finally:
            os._exit(0)
    os.close(far)
    with open(near, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    if not data:
        return Capability(
            tier, False, (Finding("probe", False, "ended early", "a security policy may have killed it"),)
        )
    result: Capability = pickle.loads(data)
    return result
