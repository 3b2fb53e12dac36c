"""How a forked process becomes a container's first process: read :func:`become_container` from top to bottom.

Runs in the child, single-threaded. A StartError or OSError that leaves it is told to the shim, and docker's words and
exit code are made of it there.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from typing import NoReturn

from dockmagic.runtime import libc, messages
from dockmagic.runtime.namespaces import (
    capabilities,
    command,
    console,
    devices,
    ids,
    mounts,
    network,
    owners,
    rlimits,
    seccomp,
)
from dockmagic.runtime.namespaces.ground import Ground
from dockmagic.runtime.namespaces.reaper import run_under_reaper
from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Spec

_IGNORED = frozenset(
    {
        *(n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN),
        *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD),
    }
)
"""Signals that this process ignores: what Python and its parents left so, and the zygote's own."""


def become_container(spec: Spec, ground: Ground, stdio: tuple[int, int, int], shim: socket.socket) -> NoReturn:
    """Everything from the fork to the exec of ``spec.args``."""
    joined = [(_open(spec.ipc), libc.CLONE_NEWIPC), (_open(spec.network), libc.CLONE_NEWNET)]
    libc.unshare(_own_namespaces(spec))
    for fd, kind in joined:
        if fd >= 0:
            libc.setns(fd, kind)
            os.close(fd)
    _make_tree(spec, ground)
    _set_names(spec)
    if spec.network == "none":
        network.raise_loopback()
    forbid_imports()
    mounts.enter_root(spec.rootfs)
    set_sysctls(spec)
    streams = _open_streams(spec, stdio, shim)
    if not spec.privileged:
        mounts.hide(spec)
    if spec.read_only:
        mounts.remount("/", libc.MS_RDONLY)
    finish(spec, ground, streams, shim)


def forbid_imports() -> None:
    """Once the root folder is the container's, a late import would run the container's code as the engine."""
    sys.meta_path.clear()
    sys.path.clear()


def finish(spec: Spec, ground: Ground, streams: tuple[int, int, int], shim: socket.socket) -> NoReturn:
    """The second half, the same for an exec: working directory, limits, privileges, and the program itself."""
    _set_oom_score(spec.oom_score_adj)
    rlimits.set_limits(spec.limits.rlimits)
    _make_working_directory(spec)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    if not spec.terminal:
        _own_streams(spec)
    allowed = capabilities.mask_of(spec.capabilities)
    profile = seccomp.program(spec, allowed)
    if not ground.rootless:
        # Until exec nobody in the container may trace this process or reach the host's interpreter by /proc/PID/exe
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
    if ground.single_id:
        ids.become_single(spec.user)  # first: a new user namespace gives all capabilities back
    if not spec.privileged:
        capabilities.bound(allowed, ground.last_capability)
    if not spec.no_new_privileges:
        # Without no_new_privs a filter needs CAP_SYS_ADMIN, which is about to go
        _filter_calls(spec, ground, profile, shim)
    if not ground.single_id:
        ids.become(spec.user)
    if not spec.privileged and spec.user.uid == 0:
        capabilities.limit(allowed & ground.capabilities)
    # Again: becoming another user clears it
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    _enter_working_directory(spec)
    if spec.no_new_privileges:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        _filter_calls(spec, ground, profile, shim)
    env = ids.environment(spec.env) if ground.single_id else spec.env
    path = command.look_up(spec.args[0], command.as_dict(env))
    libc.close_on_exec_from(3)
    _reset_signals()
    if spec.init:
        run_under_reaper(lambda: command.execute(path, spec.args, env))
    command.execute(path, spec.args, env)


def _open(where: str) -> int:
    """``ns:PATH`` opened (before the mounts change and PATH means something else), else -1."""
    return os.open(where[3:], os.O_RDONLY | os.O_CLOEXEC) if where.startswith("ns:") else -1


def _own_namespaces(spec: Spec) -> int:
    flags = libc.CLONE_NEWNS | libc.CLONE_NEWUTS
    if spec.ipc in ("private", "none", "shareable"):
        flags |= libc.CLONE_NEWIPC
    if spec.network == "none":
        flags |= libc.CLONE_NEWNET
    if not spec.privileged:
        flags |= libc.CLONE_NEWCGROUP
    return flags


def _make_tree(spec: Spec, ground: Ground) -> None:
    mounts.enter_own_mounts()
    mounts.make_root(spec.rootfs, nodev=not (spec.privileged or ground.rootless))
    mounts.mount_proc(spec.rootfs)
    devices.make_dev(spec.rootfs, spec)
    if ground.single_id:
        ids.help_apt(f"{spec.rootfs}/dev")
    mounts.mount_sys(spec.rootfs, writable=spec.privileged)
    for mount in spec.mounts:
        try:
            mounts.add_mount(spec.rootfs, mount)
        except OSError as error:
            raise command.failed(
                f'error mounting "{mount.source or mount.kind}" to rootfs at "{mount.target}": '
                f"{command.words(error.errno or errno.EIO)}"
            ) from error


def _set_names(spec: Spec) -> None:
    if spec.hostname:
        libc.sethostname(spec.hostname)
    if spec.domainname:
        libc.setdomainname(spec.domainname)


def set_sysctls(spec: Spec) -> None:
    for name, value in spec.sysctls:
        try:
            with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
                file.write(value)
        except OSError as error:
            reason = command.words(error.errno or errno.EIO)
            raise StartError(f"open /proc/sys/{name.replace('.', '/')}: {reason}", 128) from error


def _open_streams(spec: Spec, stdio: tuple[int, int, int], shim: socket.socket) -> tuple[int, int, int]:
    if not spec.terminal:
        return stdio
    near, far, path = console.open_console(spec.console_size)
    messages.send(shim, {"gives": ["console"]}, (near,))
    os.close(near)
    console.bind_console(path)
    console.take_console(far, spec.user.uid)
    return (far, far, far)


def _own_streams(spec: Spec) -> None:
    """Give the pipes to the container's user, so that it can open /dev/stdout again."""
    for fd in (0, 1, 2):
        if spec.user.uid and not os.isatty(fd):
            try:
                os.fchown(fd, spec.user.uid, spec.user.gid)
            except OSError:
                pass  # /dev/null of a file system that is not ours, or an id that is not mapped


def _set_oom_score(value: int) -> None:
    if value:
        try:
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
                file.write(str(value))
        except OSError:
            pass  # lowering it needs CAP_SYS_RESOURCE; runc ignores that in a user namespace too


def _make_working_directory(spec: Spec) -> None:
    try:
        mounts.make_working_directory(spec.cwd)
    except FileExistsError:
        raise command.failed(f"mkdir {spec.cwd}: not a directory") from None
    except OSError as error:
        if error.errno != errno.EROFS:  # chdir will tell what is missing
            raise command.failed(f"mkdir {spec.cwd}: {command.words(error.errno or errno.EIO)}") from error


def _enter_working_directory(spec: Spec) -> None:
    try:
        os.chdir(spec.cwd)
    except OSError as error:
        reason = command.words(error.errno or errno.EIO)
        raise command.failed(f'chdir to cwd ("{spec.cwd}") set in config.json failed: {reason}') from error


def _filter_calls(spec: Spec, ground: Ground, profile: bytes | None, shim: socket.socket) -> None:
    """From here on until exec no call may be made that the shim would have to answer: it waits for the exec."""
    if ground.single_id and spec.user.uid == 0 and seccomp.supported():
        emulation = seccomp.pretend_root(asks=ground.asks)
        if ground.asks:
            listener = owners.install(emulation)
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            messages.send(shim, {"gives": ["listener", "root"]}, (listener, root))
            os.close(listener)
            os.close(root)
        else:
            libc.seccomp_filter(emulation)
    if profile is not None:
        libc.seccomp_filter(profile)


def _reset_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ, the zygote some more; a program expects the defaults."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
